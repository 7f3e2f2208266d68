"""Runs that release first, run by cycle, stay open, or group by account (domain.md section 5)."""

import httpx
import pytest

from integration.billing_runs.driver import (
    Body,
    Connector,
    Record,
    Runs,
    command,
    create,
    event,
    reason,
    registered,
    released,
    review,
)
from support.records import message_record


def _refused(billing_event_id: str, job_id: str) -> Record:
    body = {"billing_event_id": billing_event_id, "project_id": "P-1", "job_id": job_id}
    return message_record("release.billing-event.refused.v1", body | {"reasons": [reason("cap_exceeded")]})


def _completed(job: Body, released_count: int, failed: int) -> Record:
    body = {"job_id": job["job_id"], "status": "completed_with_errors"}
    return message_record("release.job.completed.v1", body | {"released": released_count, "failed": failed})


async def test_a_filter_takes_what_was_released_just_before_and_is_told_of_just_after(runs: Runs) -> None:
    await runs.know(event("BE-1"))
    runs.let_settle(600.0)
    await runs.command(create(), command("process"))
    await runs.work()
    assert await runs.state() == ("creating_invoice_lines", "running")
    await runs.know(event("BE-2"))
    await runs.work()
    assert await runs.fates() == {}
    runs.let_settle(0.0)
    await runs.settle()
    assert await runs.state() == ("invoice_lines_created", "idle")
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "draft"}


async def test_a_list_of_events_does_not_wait_for_facts(runs: Runs) -> None:
    await runs.know(event("BE-1"))
    runs.let_settle(600.0)
    await runs.command(create(scope={"billing_event_ids": ["BE-1"]}), command("process"))
    await runs.settle()
    assert await runs.fates() == {"BE-1": "draft"}


async def test_events_that_await_release_are_released_first(runs: Runs, connector: Connector) -> None:
    waiting = [event(f"BE-{number}", stage="awaiting_release", released=False) for number in (1, 2)]
    await runs.release_facts(*registered(*waiting))
    await runs.know(event("BE-3"))
    await runs.command(create(release_first=True), command("process"))
    await runs.work()
    [job] = await runs.take_published("release.")
    assert job.body["select"] == {"billing_event_ids": ["BE-1", "BE-2"]}

    # The job says that it is over before all that it published has come.
    await runs.release_facts(_completed(job.body, 1, 1), _refused("BE-2", job.body["job_id"]))
    await runs.work()
    assert await runs.take_published("accounting.") == []
    connector.events["BE-1"] = event("BE-1")
    await runs.release_facts(*released(event("BE-1"), job_id=job.body["job_id"]))
    await runs.settle()

    assert await runs.state() == ("invoice_lines_created", "idle")
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "left_out", "BE-3": "draft"}
    steps = await runs.database.pool.fetch("select step, status, done from executions order by number")
    assert [tuple(row) for row in steps] == [
        ("release", "completed_with_errors", 2),
        ("invoice_lines", "completed_with_warnings", 2),
    ]


async def test_a_run_whose_release_leaves_everything_behind_goes_back_to_new(
    runs: Runs, connector: Connector
) -> None:
    waiting: Body = {"stage": "awaiting_release", "released": False}
    await runs.release_facts(*registered(event("BE-1", **waiting)))
    await runs.command(create(release_first=True, process_type="automatic"), command("process"))
    await runs.work()
    [job] = await runs.take_published("release.")
    await runs.release_facts(_completed(job.body, 0, 1), _refused("BE-1", job.body["job_id"]))
    await runs.settle()
    assert await runs.state() == ("new", "failed")
    [told] = await runs.facts("run.step-failed")
    assert "the release step could not release" in str(told)

    await runs.command(command("process"))
    await runs.work()
    [again] = await runs.take_published("release.")
    assert again.body["select"] == {"billing_event_ids": ["BE-1"]}
    connector.events["BE-1"] = event("BE-1")
    await runs.release_facts(
        *released(event("BE-1"), job_id=again.body["job_id"]), _completed(again.body, 1, 0)
    )
    await runs.settle()
    assert await runs.state() == ("draft_invoices", "idle")


async def test_the_preview_leaves_out_what_comes_to_nothing(
    runs: Runs, connector: Connector, client: httpx.AsyncClient
) -> None:
    """What is on hold, lacks a field or sums to zero is asked for and reported: the preview knows what comes of it."""
    await runs.know(event("BE-4", "0.00"))
    connector.refused_claims["BE-4"] = "zero_amount"
    waiting: Body = {"stage": "awaiting_release", "released": False}
    held, lacking = event("BE-2", on_hold=True, **waiting), event("BE-3", missing=["account"], **waiting)
    await runs.release_facts(*registered(event("BE-1", **waiting), held, lacking))
    await runs.command(create(release_first=True))

    preview = (await client.get("/billing-runs/R-1/statistics")).json()
    await runs.command(command("process"))
    await runs.work()
    [job] = await runs.take_published("release.")
    assert job.body["select"] == {"billing_event_ids": ["BE-1", "BE-2", "BE-3"]}
    connector.events["BE-1"] = event("BE-1")
    await runs.release_facts(
        *released(event("BE-1"), job_id=job.body["job_id"]),
        *(_refused(each, job.body["job_id"]) for each in ("BE-2", "BE-3")),
        _completed(job.body, 1, 2),
    )
    await runs.settle()
    final = (await client.get("/billing-runs/R-1/statistics")).json()

    assert (preview["events"], preview["amounts"]) == (1, {"GBP": "100.00"})
    assert preview | {"preview": False, "events_by_state": final["events_by_state"]} == final


async def test_release_is_asked_of_named_events_that_are_not_known_here_yet(
    runs: Runs, connector: Connector
) -> None:
    connector.events["BE-1"] = event("BE-1")
    scope = {"billing_event_ids": ["BE-1", "BE-404"]}
    await runs.command(create(release_first=True, scope=scope), command("process"))
    await runs.work()
    [job] = await runs.take_published("release.")
    assert job.body["select"] == scope

    await runs.release_facts(
        *released(event("BE-1"), job_id=job.body["job_id"]),
        _refused("BE-404", job.body["job_id"]),
        _completed(job.body, 1, 1),
    )
    await runs.settle()

    assert await runs.fates() == {"BE-1": "draft", "BE-404": "left_out"}
    assert ("not released: cap_exceeded", "BE-404") in await runs.log()


async def test_nothing_to_release_goes_on_to_the_lines(runs: Runs) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(release_first=True), command("process"))
    await runs.settle()

    assert await runs.state() == ("invoice_lines_created", "idle")
    assert await runs.fates() == {"BE-1": "draft"}


async def test_lines_that_failed_are_taken_up_without_releasing_again(runs: Runs) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(release_first=True), command("process"))
    await runs.work()
    assert await runs.take_published("accounting.")  # never to be answered
    await runs.fail_step("R-1")

    await runs.command(command("process"))
    await runs.settle()

    assert await runs.state() == ("invoice_lines_created", "idle")
    steps = await runs.database.pool.fetch("select step, status from executions order by number")
    assert [tuple(row) for row in steps] == [
        ("release", "completed"),
        ("invoice_lines", "failed"),
        ("invoice_lines", "completed"),
    ]


async def test_an_incremental_run_takes_what_is_new_until_it_is_closed(runs: Runs) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(incremental=True, process_type="automatic"), command("process"))
    await runs.settle()
    assert await runs.state() == ("open", "idle")

    await runs.know(event("BE-2"))
    await runs.command(command("process"))
    await runs.settle()
    assert await runs.state() == ("open", "idle")
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "draft"}

    await runs.command(command("close"))
    await runs.settle()
    assert await runs.state() == ("draft_invoices", "idle")
    await runs.check_books()


async def test_a_cycle_run_takes_the_accounts_that_name_the_cycle(runs: Runs) -> None:
    accounts = [
        {"account_id": "A-1", "version": 2, "billing_cycle_id": "MONTHLY"},
        {"account_id": "A-1", "version": 1, "billing_cycle_id": None},
        {"account_id": "A-2", "version": 1, "billing_cycle_id": "WEEKLY"},
    ]
    await runs.account_facts(*(message_record("psa.account.upserted.v1", each) for each in accounts))
    await runs.know(event("BE-1"), event("BE-2", account_id="A-2"))
    window = {"billing_cycle_id": "MONTHLY", "date_from": "2026-11-01", "last_transaction_date": "2026-12-01"}

    await runs.command(create(kind="cycle", scope=window), command("process"))
    await runs.settle()

    assert await runs.fates() == {"BE-1": "draft"}


@pytest.mark.parametrize(
    "scope",
    [
        {"batch_ids": ["BB-1", "BB-9"]},
        {"filter": {"batch_id": "BB-1"}},
        {"filter": {"account_id": "A-1", "date_from": "2026-11-20", "date_to": "2026-11-20"}},
        {"filter": {"currency": "GBP", "project_id": "P-1", "date_from": "2026-11-20"}},
        {"billing_event_ids": ["BE-1"]},
    ],
)
async def test_an_exceptional_run_takes_what_its_scope_says(
    runs: Runs, client: httpx.AsyncClient, scope: Body
) -> None:
    eur = {"currency": "EUR", "billing_event_currency": "EUR"}
    await runs.know(
        event("BE-1", batch_id="BB-1"),
        event("BE-2", batch_id="BB-2", account_id="A-2", project_id="P-2"),
        event("BE-3", date="2026-11-19"),
        event("BE-4", account_id="A-2", **eur),
    )
    await runs.command(create(scope=scope))
    preview = (await client.get("/billing-runs/R-1/statistics")).json()
    await runs.command(command("process"))
    await runs.settle()

    assert await runs.fates() == {"BE-1": "draft"}
    assert (preview["events"], preview["amounts"]) == (1, {"GBP": "100.00"})


async def test_a_cycle_run_that_finds_no_account_says_so(runs: Runs) -> None:
    """Accounts that name a cycle may come after the run: it is no mistake before the lines are made."""
    await runs.know(event("BE-1"))
    window = {"billing_cycle_id": "MONTLY", "date_from": "2026-11-01", "last_transaction_date": "2026-12-01"}

    await runs.command(create(kind="cycle", scope=window), command("process"))
    await runs.settle()

    assert await runs.state() == ("invoice_lines_created", "idle")
    assert await runs.log() == [("no_accounts: No account is in billing cycle MONTLY", None)]
    status = await runs.database.pool.fetchval("select status from executions")
    assert status == "completed_with_warnings"


async def test_one_document_bills_an_account(runs: Runs) -> None:
    await runs.know(event("BE-1"), event("BE-2"), event("BE-3", account_id="A-2"), event("BE-4", "-30.00"))
    await runs.command(create(grouping="account", process_type="full_automatic"), command("process"))
    await runs.settle()

    assert await runs.reviews() == dict.fromkeys(("D-BE-1", "D-BE-3", "D-BE-4"), "validated")
    assert await runs.fates() == dict.fromkeys(("BE-1", "BE-2", "BE-3", "BE-4"), "validated")
    await runs.check_books()


async def test_dates_are_recomputed_only_where_the_run_says_so(runs: Runs) -> None:
    """Whether a document is validated by a review or by the step."""
    first, second = [event("BE-1"), event("BE-2")], [event("BE-3"), event("BE-4")]
    await runs.know(*first, *(each | {"project_id": "P-2"} for each in second))
    dates = []
    for run_id, project_id, recomputes, reviewed in (
        ("R-1", "P-1", False, "D-BE-1"),
        ("R-2", "P-2", True, "D-BE-3"),
    ):
        settings = {"scope": {"filter": {"project_id": project_id}}}
        await runs.command(create(run_id, recompute_dates_at_validation=recomputes, **settings))
        for _ in range(2):
            await runs.command(command("process", run_id))
            await runs.settle()
        select = {"document_ids": [reviewed]}
        for validate in (review("validate", run_id, select=select), command("process", run_id)):
            await runs.command(validate)
            await runs.work()
            [asked] = await runs.take_published("accounting.")
            dates.append(asked.body["date"])
            await runs.accounting_facts(*runs.connector.answer([asked]))

    assert dates[:2] == [None, None]
    assert None not in dates[2:]


async def test_who_numbers_may_give_another_date(runs: Runs, client: httpx.AsyncClient) -> None:
    """By the step and by a review, in place of the run's date; kept with the step."""
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create())
    for _ in range(2):
        await runs.command(command("process"))
        await runs.settle()
    select = {"document_ids": ["D-BE-1"]}
    await runs.command(
        review("validate", select=select, invoice_date="2026-12-01"),
        command("process", invoice_date="2026-12-02"),
    )
    await runs.settle()
    dates = {each["document_id"]: each["date"] for each in runs.connector.documents.values()}
    assert dates == {"D-BE-1": "2026-12-01", "D-BE-2": "2026-12-02"}
    report = (await client.get("/billing-runs/R-1/executions")).json()["items"]
    assert [each["invoice_date"] for each in report] == [None, None, "2026-12-02"]
    assert (await client.get("/billing-runs/R-1")).json()["invoice_date"] == "2026-11-30"


async def test_a_date_is_taken_only_by_what_numbers(runs: Runs, client: httpx.AsyncClient) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create())
    answer = await client.post("/billing-runs/R-1/process", json={"invoice_date": "2026-12-02"})
    assert (answer.status_code, answer.json()["code"]) == (409, "action_not_available")
    body = {"action": "accept", "select": {"filter": {}}, "invoice_date": "2026-12-02"}
    answer = await client.post("/billing-runs/R-1/documents/review", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "invoice_date")
    assert await runs.state() == ("new", "idle")


async def test_without_a_date_a_run_numbers_with_the_day_of_numbering(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(invoice_date=None), command("process"))
    await runs.settle()
    await runs.command(command("process"))
    await runs.work()
    [start] = await runs.take_published("accounting.")
    assert start.body["invoice_date"] is None
    shown = (await client.get("/billing-runs/R-1")).json()
    assert shown["invoice_date"] is None
    assert shown["description"] == "Billing run R-1 (exceptional; invoice date of the day of numbering)"


async def test_another_run_holds_what_it_has_claimed(runs: Runs) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(), command("process"))
    await runs.settle()

    await runs.command(create("R-2"), command("process", "R-2"))
    await runs.settle()

    assert await runs.fates("R-2") == {"BE-1": "left_out"}
    await runs.check_books("R-1", "R-2")


async def test_a_release_step_waits_for_what_its_job_tries_again_and_says_what_was_stopped(
    runs: Runs, connector: Connector
) -> None:
    connector.events["BE-1"] = event("BE-1")
    waiting = [event(f"BE-{number}", stage="awaiting_release", released=False) for number in (1, 2, 3)]
    await runs.release_facts(*registered(*waiting))
    await runs.command(create(release_first=True), command("process"))
    await runs.work()
    [job] = await runs.take_published("release.")
    ended = {"job_id": job.body["job_id"], "status": "completed_with_errors", "released": 1}
    await runs.release_facts(
        *released(event("BE-1"), job_id=job.body["job_id"]),
        message_record("release.job.completed.v1", ended | {"pending": 2}),
    )
    await runs.work()
    assert (await runs.state())[1] == "running"

    stopped = ended | {"status": "stopped", "stopped": 2}
    await runs.release_facts(message_record("release.job.completed.v1", stopped))
    await runs.settle()
    assert (await runs.fates())["BE-1"] == "draft"
    lines = [message for message, _ in await runs.log()]
    said = "could not be decided for a fault of the system's own, and are tried again"
    assert [line for line in lines if "2 billing events" in line] == [
        f"release job {job.body['job_id']}: 2 billing events {said}",
        f"release job {job.body['job_id']} was stopped: 2 billing events await release again",
    ]
