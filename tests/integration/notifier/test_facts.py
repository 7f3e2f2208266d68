"""Who is told of which fact, once per cause and recipient (domain.md section 8)."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from integration.notifier.driver import (
    BILLED_AGAIN,
    CONFLICT,
    JOB,
    MISMATCH,
    PROCESS_RUN,
    RECONCILIATION,
    RUN_STATUS,
    STEP_FAILED,
    THRESHOLD,
    WAITS,
    WORK_PENDING,
    NotifierDriver,
    fact,
    settings_of,
)
from notifier.consumers import facts_line
from notifier.main import audiences_of
from shared.database.database import Database
from support.records import message_record

USER = "user:u1"
MAIL = "u1@example.com"
OPERATOR = "mail:ops@example.com"


@pytest.mark.parametrize(
    "message_type, fields, alerts, mails",
    [
        (JOB, {"and_invoice": False}, [USER], [MAIL]),
        (JOB, {"and_invoice": False, "status": "completed", "failed": 0, "failures": []}, [USER], []),
        (JOB, {"and_invoice": False, "status": "failed"}, [USER], [MAIL]),
        (JOB, {}, [USER], [MAIL]),
        (JOB, {"status": "completed", "failed": 0}, [USER], []),
        (PROCESS_RUN, {}, [USER], ["a@example.com", MAIL]),
        (PROCESS_RUN, {"status": "completed", "not_passed": 0}, [USER], ["a@example.com", MAIL]),
        (PROCESS_RUN, {"at_once": True}, [USER], []),
        (PROCESS_RUN, {"starter": None}, [], ["a@example.com"]),
        (PROCESS_RUN, {"starter": None, "additional_recipients": []}, [], []),
        (THRESHOLD, {}, ["mail:pm@example.com", USER], ["pm@example.com"]),
        (THRESHOLD, {"alert_recipient": None}, [USER], []),
        (
            THRESHOLD,
            {"alert_recipient": 'a@x.example; "Doe, Jane" <jane@x.example>', "starter": None},
            ["mail:a@x.example", "mail:jane@x.example"],
            ["a@x.example", "jane@x.example"],
        ),
        (THRESHOLD, {"alert_recipient": "U1@Example.com"}, [USER], [MAIL]),
        (CONFLICT, {}, [OPERATOR], ["ops@example.com"]),
        (MISMATCH, {}, [OPERATOR], ["ops@example.com"]),
        (WAITS, {}, [OPERATOR], ["ops@example.com"]),
        (BILLED_AGAIN, {}, [OPERATOR], []),
        (RECONCILIATION, {}, [OPERATOR], ["ops@example.com"]),
        (WORK_PENDING, {}, [OPERATOR], ["ops@example.com"]),
        (RUN_STATUS, {}, [USER], [MAIL]),
        (RUN_STATUS, {"status": "rejected"}, [USER], [MAIL]),
        (RUN_STATUS, {"status": "validated"}, [USER], [MAIL]),
        (RUN_STATUS, {"status": "cancelled"}, [USER], [MAIL]),
        (RUN_STATUS, {"status": "validating"}, [], []),
        (STEP_FAILED, {}, [USER], [MAIL]),
        ("release.job.progressed.v1", {}, [], []),
        ("billing-runs.run.step-completed.v1", {}, [], []),
    ],
)
async def test_who_is_told(
    notifier: NotifierDriver, message_type: str, fields: dict[str, Any], alerts: list[str], mails: list[str]
) -> None:
    await notifier.take(fact(message_type, **fields))
    assert await notifier.told() == (alerts, mails)
    assert await notifier.database.pool.fetchval("select dead_letters from consumed_positions") == 0


async def test_settings_choose_which_job_ends_are_mailed(store: Database) -> None:
    driver = NotifierDriver(store, settings_of(send_failure_email=False, send_success_email=True))
    await driver.take(
        fact(JOB, job_id="J-bad"), fact(JOB, job_id="J-good", status="completed", failed=0, failures=[])
    )
    assert [each["cause"] for each in await driver.deliveries()] == ["release-job/J-good/ended"]
    assert len(await driver.alerts()) == 2


async def test_additional_recipients_each_get_a_mail_of_their_own_and_invalid_ones_are_logged(
    store: Database,
) -> None:
    settings = settings_of(additional_notification_recipients="b@x.example; nobody ,c@x.example;B@x.example")
    with capture_logs() as logged:
        driver = NotifierDriver(store, settings)
        await driver.take(fact(PROCESS_RUN, additional_recipients=["d@x.example;broken@", "c@x.example"]))
    alerts, mails = await driver.told()
    assert alerts == [USER]
    assert mails == ["b@x.example", "c@x.example", "d@x.example", MAIL]
    assert "ADDITIONAL_NOTIFICATION_RECIPIENTS" in [line.get("setting") for line in logged]
    assert "additional" in [line.get("role") for line in logged]
    assert "nobody" not in str(logged)
    assert "broken@" not in str(logged)


async def test_a_starter_whose_address_is_not_valid_gets_an_alert_only(notifier: NotifierDriver) -> None:
    await notifier.take(fact(PROCESS_RUN, starter={"user_id": "u1", "email": "u1"}, additional_recipients=[]))
    assert await notifier.told() == ([USER], [])


async def test_a_starter_known_by_address_and_as_additional_recipient_is_told_once(
    notifier: NotifierDriver,
) -> None:
    await notifier.take(fact(PROCESS_RUN, additional_recipients=["U1@example.com"]))
    assert await notifier.told() == ([USER], [MAIL])


async def test_the_same_cause_is_told_once_in_redeliveries_repetitions_and_restarts(
    store: Database, notifier: NotifierDriver
) -> None:
    record = fact(JOB, message_id="m-1")
    await notifier.take(record, fact(JOB, message_id="m-2"))
    await notifier.take(record)
    await NotifierDriver(store, notifier.settings).take(record, fact(JOB, message_id="m-3", failed=7))
    (alert,) = await notifier.alerts()
    assert alert["notice"]["counts"] == {"selected": 2, "released": 1, "failed": 1}
    assert await notifier.told() == ([USER], [MAIL])


@pytest.mark.parametrize(
    ("end", "mailed"),
    [({"status": "completed", "failed": 0}, 1), ({"failed": 2}, 2), ({"status": "stopped", "stopped": 3}, 2)],
    ids=["well", "with failures", "stopped"],
)
async def test_a_job_that_ended_with_pending_events_is_told_of_once_more(
    notifier: NotifierDriver, end: dict[str, Any], mailed: int
) -> None:
    await notifier.take(fact(JOB, pending=3), fact(JOB, pending=3), fact(JOB, **end), fact(JOB, **end))
    causes = ["release-job/J-1/ended", "release-job/J-1/ended/pending"]
    assert sorted(alert["cause"] for alert in await notifier.alerts()) == causes
    assert sorted(mail["cause"] for mail in await notifier.deliveries()) == causes[-mailed:]


async def test_a_process_run_that_got_more_events_after_its_end_is_told_of_once_more(
    notifier: NotifierDriver,
) -> None:
    await notifier.take(fact(PROCESS_RUN), fact(PROCESS_RUN, extended=1), fact(PROCESS_RUN, extended=1))
    assert len({alert["cause"] for alert in await notifier.alerts()}) == 2


async def test_batches_at_the_same_time_tell_once(notifier: NotifierDriver) -> None:
    records = [fact(JOB, job_id=f"J-{number}") for number in range(30)]
    again = [fact(JOB, job_id=f"J-{number}") for number in reversed(range(30))]
    other = NotifierDriver(notifier.database, notifier.settings)
    await asyncio.gather(notifier.take(*records), other.take(*again))
    alerts, mails = await notifier.told()
    assert (len(alerts), len(mails)) == (30, 30)


async def test_a_status_is_told_each_time_a_step_leads_to_it_but_a_review_only_once(
    notifier: NotifierDriver,
) -> None:
    def reached(status: str, previous: str) -> Any:
        return fact(RUN_STATUS, status=status, previous_status=previous)

    await notifier.take(
        reached("rejected", "creating_invoices"),
        reached("draft_invoices", "rejected"),
        reached("rejected", "draft_invoices"),
        reached("draft_invoices", "rejected"),
        reached("rejected", "draft_invoices"),
        reached("rejected", "validating"),
        reached("rejected", "validating"),
    )
    titles = sorted(alert["notice"]["title"] for alert in await notifier.alerts())
    assert titles == ["Billing run R-1: draft invoices"] + ["Billing run R-1: rejected"] * 4


async def test_a_message_that_is_no_fact_is_put_aside_and_the_rest_is_told(notifier: NotifierDriver) -> None:
    await notifier.take(message_record(JOB, {"job_id": 7}), fact(JOB))
    assert await notifier.told() == ([USER], [MAIL])
    assert await notifier.database.pool.fetchval("select count(*) from dead_letters") == 1


async def test_what_is_told_of_a_process_run(notifier: NotifierDriver) -> None:
    await notifier.take(fact(PROCESS_RUN, not_passed=12))
    (alert,) = await notifier.alerts()
    assert alert["notice"] == {
        "title": "Process run: 1 invoice, 0 credit notes, 12 not passed",
        "text": "The process run Release and invoice J-1 (PR-1) has ended. Some billing events could not be passed; "
        "its log says why.",
        "path": "/pages/process-runs/PR-1",
        "counts": {"invoices": 1, "credit_notes": 0, "not_passed": 12},
        "reasons": ["BE-2: Over the cap."],
        "more_reasons": 11,
        "totals": {"GBP": {"invoices": "100.00", "credit_notes": "0.00"}},
    }


async def test_a_process_run_is_told_of_again_when_none_of_its_events_is_pending_any_more(
    notifier: NotifierDriver,
) -> None:
    ended = [
        fact(PROCESS_RUN, pending=3, additional_recipients=[]),
        fact(PROCESS_RUN, additional_recipients=[]),
    ]
    await notifier.take(*ended, *ended)
    titles = sorted(alert["notice"]["title"] for alert in await notifier.alerts())
    assert titles == [
        "Process run: 1 invoice, 0 credit notes, 1 not passed",
        "Process run: 1 invoice, 0 credit notes, 1 not passed, 3 pending",
    ]
    assert (await notifier.told())[1] == [MAIL, MAIL]


async def test_operators_are_told_once_an_hour_of_a_kind_of_work_that_is_pending(
    notifier: NotifierDriver,
) -> None:
    times = ["10:00", "10:40", "11:05"]
    await notifier.take(
        *(fact(WORK_PENDING, id=f"PR-{time}", since=f"2026-11-26T{time}:00Z") for time in times),
        fact(WORK_PENDING, kind="withdrawal"),
    )
    titles = sorted(alert["notice"]["title"] for alert in await notifier.alerts())
    assert titles == [
        "Work of accounting-connector is pending: process run PR-10:00",
        "Work of accounting-connector is pending: process run PR-11:05",
        "Work of accounting-connector is pending: withdrawal PR-1",
    ]


async def test_what_is_told_of_a_threshold(notifier: NotifierDriver) -> None:
    await notifier.take(fact(THRESHOLD, currency="JPY", bookings="10000", released="8000"))
    notice = (await notifier.alerts())[0]["notice"]
    assert notice["title"] == "Cap threshold reached: project P-100 has released 80 % or more of its bookings"
    assert notice["text"] == "8000 JPY of 10000 JPY are released. The alert threshold is 80 %."


async def test_users_choose_channels_kind_by_kind(notifier: NotifierDriver) -> None:
    await notifier.database.pool.execute(
        "insert into preferences (user_id, email, channels) values ('u1', 'u1@example.com', $1),"
        " ('pm', 'pm@example.com', $2), ('ops', 'ops@example.com', $3)",
        {
            "release_stage_failed": ["in_app"],
            "release_job_succeeded": ["mail"],
            "billing_run_step_failed": [],
        },
        {"cap_threshold_crossed": ["in_app"]},
        {"dead_letters": ["mail"]},
    )
    await notifier.take(fact(JOB, job_id="J-1"))
    assert await notifier.told() == ([USER], [])
    await notifier.take(fact(JOB, job_id="J-2", and_invoice=False, status="completed", failed=0, failures=[]))
    assert await notifier.told() == ([USER], [MAIL])
    await notifier.take(fact(STEP_FAILED))
    assert await notifier.told() == ([USER], [MAIL])
    await notifier.take(fact(THRESHOLD, starter=None))
    assert await notifier.told() == (["mail:pm@example.com", USER], [MAIL])
    await notifier.take(fact(PROCESS_RUN, additional_recipients=[]))
    assert await notifier.told() == (["mail:pm@example.com", USER, USER], [MAIL, MAIL])


def test_it_reads_the_facts_of_three_services_and_only_what_somebody_is_told_of() -> None:
    line = facts_line(audiences_of(settings_of()))
    assert set(line.topics) == {"release.events", "accounting.events", "billing-runs.events"}
    assert line.handled == {
        JOB,
        THRESHOLD,
        CONFLICT,
        MISMATCH,
        WAITS,
        BILLED_AGAIN,
        RECONCILIATION,
        "accounting.reconciliation.difference-found.v1",
        PROCESS_RUN,
        "release.work.pending.v1",
        WORK_PENDING,
        "billing-runs.work.pending.v1",
        RUN_STATUS,
        STEP_FAILED,
    }
