"""Dead letters are told once per service, topic and hour, with their count, and never make another one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from integration.notifier.driver import NotifierDriver, Record, dead_letter, settings_of
from integration.notifier.mail_server import MailServer
from notifier.consumers import dead_letters_line
from notifier.main import audiences_of
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.batches import BatchProcessor, Line
from shared.messaging.message import Message
from support.records import raw_record

HOUR = "2026-11-20 09:00 UTC"


def titles(alerts: Sequence[dict[str, object]]) -> list[str]:
    return [alert["notice"]["title"] for alert in alerts]  # type: ignore[index]


async def test_letters_of_an_hour_are_counted_in_one_alert(notifier: NotifierDriver) -> None:
    await notifier.take_dead_letters(dead_letter(offset=1), dead_letter(offset=2))
    await notifier.take_dead_letters(dead_letter(offset=3, time="2026-11-20T09:59:59.999Z"))
    (alert,) = await notifier.alerts()
    assert alert["address"] == "mail:ops@example.com"
    assert alert["notice"]["title"] == f"3 dead letters of release from psa.accounts in the hour from {HOUR}"
    assert alert["notice"]["counts"] == {"dead_letters": 3}
    assert alert["notice"]["reasons"] == ["the value is not JSON in UTF-8"]
    assert len(await notifier.deliveries()) == 1


async def test_another_service_topic_or_hour_is_another_alert(notifier: NotifierDriver) -> None:
    await notifier.take_dead_letters(
        dead_letter(),
        dead_letter("billing-runs"),
        dead_letter("accounting-connector", topic="release.events"),
        dead_letter("notifier", topic="release.events"),
        dead_letter(offset=2, topic="psa.projects"),
        dead_letter(offset=3, time="2026-11-20T10:00:00.000Z"),
    )
    assert len(await notifier.alerts()) == 6
    assert len(await notifier.deliveries()) == 6


async def test_a_letter_that_comes_again_or_was_sent_twice_is_counted_once(notifier: NotifierDriver) -> None:
    letter = dead_letter(offset=7)
    await notifier.take_dead_letters(letter, dead_letter(offset=7))
    await notifier.take_dead_letters(letter)
    assert titles(await notifier.alerts()) == [
        f"1 dead letter of release from psa.accounts in the hour from {HOUR}"
    ]


async def test_a_letter_put_aside_again_after_a_replay_is_another_one(notifier: NotifierDriver) -> None:
    await notifier.take_dead_letters(dead_letter(offset=7), dead_letter(offset=8))
    assert (await notifier.alerts())[0]["notice"]["counts"] == {"dead_letters": 2}


async def test_the_mail_waits_for_more_letters_and_tells_of_all_of_them(
    notifier: NotifierDriver, mail_server: MailServer
) -> None:
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    await notifier.take_dead_letters(dead_letter(offset=1, time=now.isoformat()))
    (delivery,) = await notifier.deliveries()
    assert delivery["due_at"] == now + timedelta(seconds=10)
    await notifier.take_dead_letters(*(dead_letter(offset=n, time=now.isoformat()) for n in range(2, 40)))
    await notifier.let_time_pass()
    await notifier.send_due()
    (mail,) = mail_server.taken
    assert mail.message["Subject"].startswith("Sluice: 39 dead letters of release from psa.accounts")
    await notifier.take_dead_letters(dead_letter(offset=99, time=now.isoformat()))
    await notifier.send_due()
    assert len(mail_server.taken) == 1
    assert (await notifier.alerts())[0]["notice"]["counts"] == {"dead_letters": 40}


@pytest.mark.parametrize(
    "record",
    [
        dead_letter(headers={}),
        dead_letter(headers={}, value=None),
        dead_letter(headers={"dl_topic": None, "dl_time": None, "dl_reason": None}),
        dead_letter(headers={"dl_topic": b"\xff\x00", "dl_time": b"\xff", "dl_reason": b"\xff\x00\r\n"}),
        dead_letter(
            headers={"dl_topic": b"x" * 5000, "dl_reason": b"y" * 50_000, "dl_time": b"9999-12-31T23:59:59Z"}
        ),
        dead_letter(headers={"dl_topic": b"psa.accounts", "dl_time": b"0001-01-01T00:00:00+14:00"}),
        raw_record(
            "notifier.dead-letters", b"\xff" * 10, [("ce_id", None), ("ce_id", b"\xff"), ("ce_type", b"")]
        ),
    ],
    ids=[
        "no headers",
        "tombstone",
        "null headers",
        "not UTF-8",
        "too long",
        "before the era",
        "broken event",
    ],
)
async def test_a_letter_without_good_headers_is_counted_and_makes_no_other_letter(
    notifier: NotifierDriver, record: Record
) -> None:
    await notifier.take_dead_letters(record)
    (alert,) = await notifier.alerts()
    assert alert["notice"]["counts"] == {"dead_letters": 1}
    assert await notifier.database.pool.fetchval("select count(*) from dead_letters") == 0
    assert await notifier.database.pool.fetchval("select count(*) from outbox") == 0


async def test_a_letter_that_breaks_its_handler_stays_where_it_is(notifier: NotifierDriver) -> None:
    line = dead_letters_line(audiences_of(notifier.settings))
    breaks, passes = dead_letter("notifier", offset=1), dead_letter("notifier", offset=2)

    async def break_down(work: UnitOfWork, messages: Sequence[Message]) -> None:
        if any(message.record is breaks for message in messages):
            raise KeyError("a mistake of ours")

    broken = Line(line.name, line.topics, line.handled, break_down, decode=line.decode)
    await BatchProcessor(notifier.database, broken, service="notifier").take([breaks, passes])
    assert await notifier.database.pool.fetchval("select count(*) from outbox") == 0
    assert await notifier.database.pool.fetchval("select dead_letters from consumed_positions") == 1


def test_everybodys_letters_are_read() -> None:
    line = dead_letters_line(audiences_of(settings_of()))
    assert set(line.topics) == {
        "release.dead-letters",
        "accounting-connector.dead-letters",
        "billing-runs.dead-letters",
        "notifier.dead-letters",
    }


async def test_without_operators_nobody_is_told_and_the_log_says_so(store: Database) -> None:
    with capture_logs() as logged:
        driver = NotifierDriver(store, settings_of())
    await driver.take_dead_letters(dead_letter())
    assert await driver.told() == ([], [])
    assert "OPERATORS" in [line.get("setting") for line in logged]


async def test_operators_that_are_users_get_alerts_only(store: Database) -> None:
    driver = NotifierDriver(store, settings_of(operators="chief, ops@localhost"))
    await driver.take_dead_letters(dead_letter())
    assert await driver.told() == (["mail:ops@localhost", "user:chief"], ["ops@localhost"])
