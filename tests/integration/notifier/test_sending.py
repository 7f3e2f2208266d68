"""Mails against a mail server that takes, refuses, hangs and goes away (domain.md section 8)."""

import asyncio
import os
import signal
import ssl
import sys
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import asyncpg
import pytest

from integration.notifier.driver import JOB, PROCESS_RUN, RETRIES, NotifierDriver, fact, settings_of
from integration.notifier.mail_server import DROP, HANG, HOST, MailServer
from notifier.handlers.sending import LEASE_SECONDS, SENDERS
from notifier.mail.server import SEND_SECONDS_MAX
from shared.database.database import Database
from support.databases import FreshDatabase
from support.waiting import wait_until


async def queue(notifier: NotifierDriver, count: int) -> None:
    """As many mails, each to a recipient of its own."""
    await notifier.take(
        *(
            fact(
                JOB,
                job_id=f"J-{number}",
                starter={"user_id": f"u{number}", "email": f"u{number}@example.com"},
            )
            for number in range(count)
        )
    )


async def status_of(notifier: NotifierDriver) -> tuple[str, int, str | None]:
    """How the only mail stands: status, attempts, error."""
    (delivery,) = await notifier.deliveries()
    return delivery["status"], delivery["attempts"], delivery["error"]


async def test_a_mail_is_sent_and_told_of(notifier: NotifierDriver, mail_server: MailServer) -> None:
    await notifier.take(fact(PROCESS_RUN, message_id="m-1", additional_recipients=[]))
    await notifier.send_due()
    (mail,) = mail_server.taken
    assert (mail.sender, mail.recipient) == ("billing@example.com", "u1@example.com")
    message = mail.message
    (delivery,) = await notifier.deliveries()
    assert message["Message-ID"] == f"<{delivery['delivery_id']}@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Billing <billing@example.com>"
    assert message["To"] == "u1@example.com"
    assert message["Subject"] == "Sluice: Process run: 1 invoice, 0 credit notes, 1 not passed"
    assert abs(parsedate_to_datetime(message["Date"]) - datetime.now(UTC)) < timedelta(minutes=5)
    for kind in ("plain", "html"):
        for told in ("BE-2: Over the cap.", "100.00 GBP", "http://sluice.example/pages/process-runs/PR-1"):
            assert told in mail.body(kind)
    assert await status_of(notifier) == ("sent", 1, None)
    ((word, body),) = await notifier.published()
    assert word == "sent"
    assert body["notification_id"] == delivery["delivery_id"]
    assert (body["recipient"], body["attempts"], body["cause_id"]) == (
        "u1@example.com",
        1,
        "process-run/PR-1/ended",
    )
    assert await notifier.database.pool.fetchval("select causationid from outbox") == "m-1"


async def test_a_mail_is_not_sent_again(notifier: NotifierDriver, mail_server: MailServer) -> None:
    record = fact(JOB)
    await notifier.take(record)
    await notifier.send_due()
    await notifier.take(record, fact(JOB))
    await notifier.let_time_pass()
    await notifier.send_due()
    assert mail_server.recipients == ["u1@example.com"]


async def test_mails_share_connections_and_go_out_several_at_once(
    notifier: NotifierDriver, mail_server: MailServer
) -> None:
    await queue(notifier, 40)
    mail_server.gate.clear()
    sending = [asyncio.create_task(notifier.send_due()) for _ in range(SENDERS)]

    async def all_are_waiting() -> bool:
        return mail_server.under_way == SENDERS

    await wait_until(all_are_waiting, what="eight mails under way")
    mail_server.gate.set()
    await asyncio.gather(*sending)
    assert mail_server.recipients == sorted(f"u{number}@example.com" for number in range(40))
    assert mail_server.under_way_max == SENDERS
    assert mail_server.connections == SENDERS


@pytest.mark.parametrize("place", ["at_recipient", "at_data"])
async def test_what_is_refused_for_now_is_tried_again_later(
    notifier: NotifierDriver, mail_server: MailServer, place: str
) -> None:
    getattr(mail_server, place).append("451 4.3.0 come back later")
    await notifier.take(fact(JOB))
    await notifier.send_due()
    assert mail_server.taken == []
    assert await status_of(notifier) == ("queued", 1, "451 4.3.0 come back later")
    (delivery,) = await notifier.deliveries()
    assert delivery["due_at"] > datetime.now(UTC)
    assert delivery["leased_until"] is None
    await notifier.let_time_pass()
    await notifier.send_due()
    assert await status_of(notifier) == ("sent", 2, None)
    assert len(mail_server.taken) == 1


@pytest.mark.parametrize("place", ["at_recipient", "at_data"])
async def test_what_is_refused_for_good_has_failed_at_once(
    notifier: NotifierDriver, mail_server: MailServer, place: str
) -> None:
    getattr(mail_server, place).append("550 5.1.1 no such user")
    await notifier.take(fact(JOB))
    await notifier.send_due()
    await notifier.let_time_pass()
    await notifier.send_due()
    assert mail_server.taken == []
    assert await status_of(notifier) == ("failed", 1, "550 5.1.1 no such user")
    ((word, body),) = await notifier.published()
    assert word == "failed"
    assert body["reasons"] == [
        {"code": "mail_not_taken", "message": "550 5.1.1 no such user"},
    ]


async def test_one_bad_recipient_holds_up_nobody(notifier: NotifierDriver, mail_server: MailServer) -> None:
    mail_server.refused = {"u1@example.com"}
    await queue(notifier, 4)
    await notifier.send_due()
    assert mail_server.recipients == ["u0@example.com", "u2@example.com", "u3@example.com"]
    assert mail_server.connections == 1


async def test_a_server_that_hangs_is_left_and_the_mail_tried_again(
    notifier: NotifierDriver, mail_server: MailServer
) -> None:
    mail_server.at_data.append(HANG)
    await notifier.take(fact(JOB))
    await notifier.send_due(reply_seconds_max=2.0)
    assert await status_of(notifier) == ("queued", 1, "the mail server did not answer in time")
    await notifier.let_time_pass()
    await notifier.send_due()
    assert await status_of(notifier) == ("sent", 2, None)
    assert mail_server.connections == 2


async def test_a_server_that_goes_away_after_the_data_gets_the_same_mail_again(
    notifier: NotifierDriver, mail_server: MailServer
) -> None:
    mail_server.at_data.append(DROP)
    await notifier.take(fact(JOB))
    await notifier.send_due()
    assert (await status_of(notifier))[:2] == ("queued", 1)
    await notifier.let_time_pass()
    await notifier.send_due()
    assert await status_of(notifier) == ("sent", 2, None)
    first, second = mail_server.taken  # as many more as replies were lost, and not one more
    assert first.message["Message-ID"] == second.message["Message-ID"]


async def test_a_server_that_is_away_is_tried_until_the_attempts_are_used_up(store: Database) -> None:
    driver = NotifierDriver(store, settings_of())
    await driver.take(fact(JOB))
    for attempt in range(1, RETRIES.attempts_max + 1):
        assert await driver.send_due() == 1
        status, attempts, _ = await status_of(driver)
        assert attempts == attempt
        assert status == ("failed" if attempt == RETRIES.attempts_max else "queued")
        await driver.let_time_pass()
    assert await driver.send_due() == 0
    assert [word for word, _ in await driver.published()] == ["failed"]


async def test_a_mail_in_other_hands_is_not_taken_until_the_lease_is_over(
    notifier: NotifierDriver, mail_server: MailServer
) -> None:
    await notifier.take(fact(JOB))
    mail_server.gate.clear()
    first = asyncio.create_task(notifier.send_due())

    async def is_under_way() -> int:
        return mail_server.under_way

    await wait_until(is_under_way, what="the first mail")
    await notifier.database.pool.execute("update deliveries set due_at = now()")
    assert await notifier.send_due() == 0
    mail_server.gate.set()
    await first
    assert len(mail_server.taken) == 1
    assert LEASE_SECONDS > SEND_SECONDS_MAX


async def test_a_sender_that_slept_past_its_lease_does_not_undo_what_another_one_did(
    notifier: NotifierDriver, mail_server: MailServer
) -> None:
    mail_server.at_data.append("451 4.3.0 come back later")
    await notifier.take(fact(JOB))
    mail_server.gate.clear()
    asleep = asyncio.create_task(notifier.send_due())

    async def is_under_way() -> int:
        return mail_server.under_way

    await wait_until(is_under_way, what="the first mail")
    await notifier.let_time_pass()
    async with MailServer() as other_server:
        other = NotifierDriver(notifier.database, settings_of(other_server.url))
        assert await other.send_due() == 1
    mail_server.gate.set()
    await asleep
    assert await status_of(notifier) == ("sent", 2, None)
    assert [word for word, _ in await notifier.published()] == ["sent"]


async def test_an_attempt_that_was_never_answered_counts(
    notifier: NotifierDriver, mail_server: MailServer
) -> None:
    await notifier.take(fact(JOB))
    await notifier.database.pool.execute(
        "update deliveries set attempts = $1, leased_until = now() - interval '1 second'",
        RETRIES.attempts_max,
    )
    await notifier.send_due()
    assert mail_server.taken == []
    assert await status_of(notifier) == ("failed", RETRIES.attempts_max, "the last attempt was interrupted")
    assert [word for word, _ in await notifier.published()] == ["failed"]


async def test_a_sender_that_is_stopped_ends_the_mail_that_is_under_way(
    notifier: NotifierDriver, mail_server: MailServer
) -> None:
    await queue(notifier, 3)
    mail_server.gate.clear()
    sending = asyncio.create_task(notifier.sender().step())

    async def is_under_way() -> int:
        return mail_server.under_way

    await wait_until(is_under_way, what="the first mail")
    sending.cancel()
    mail_server.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert len(mail_server.taken) == 1
    statuses = sorted(delivery["status"] for delivery in await notifier.deliveries())
    assert statuses == ["queued", "queued", "sent"]


async def test_an_outcome_that_cannot_be_noted_is_noted_before_anything_else_is_sent(
    notifier: NotifierDriver, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue(notifier, 2)
    sender = notifier.sender()
    run, calls = notifier.database.run, 0

    async def fail_the_second(action: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise asyncpg.ConnectionDoesNotExistError("away")
        return await run(action)  # type: ignore[arg-type]

    monkeypatch.setattr(notifier.database, "run", fail_the_second)
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await sender.step()
    monkeypatch.undo()
    assert await sender.step()
    assert len(mail_server.taken) == 1
    assert sorted(delivery["status"] for delivery in await notifier.deliveries()) == ["queued", "sent"]


_KILLED = """
import asyncio, sys
from integration.notifier.driver import NotifierDriver, settings_of
from shared.database.database import Database

async def main(url, schema, smtp_url):
    database = Database(url, schema=schema, application_name="tests")
    await database.open()
    await NotifierDriver(database, settings_of(smtp_url)).send_due()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_sender_killed_after_the_mail_was_taken_sends_it_once_more(
    database: FreshDatabase, notifier: NotifierDriver, mail_server: MailServer
) -> None:
    await notifier.take(fact(JOB))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _KILLED,
        database.url,
        database.schema,
        mail_server.url,
        env={**os.environ, "SLUICE_FAILPOINTS": "mail.after_taken", "PYTHONPATH": ":".join(sys.path)},
    )
    assert await asyncio.wait_for(process.wait(), 60) == 128 + signal.SIGKILL
    assert len(mail_server.taken) == 1
    assert (await status_of(notifier))[:2] == ("queued", 1)
    assert await notifier.send_due() == 0  # until the lease is over
    await notifier.let_time_pass()
    await notifier.send_due()
    first, second = mail_server.taken
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert (await status_of(notifier))[:2] == ("sent", 2)


async def test_it_signs_in_over_a_connection_that_a_private_authority_has_signed(
    store: Database, certificate: tuple[str, str]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with MailServer(
        options={"tls_context": context, "require_starttls": True, "auth_required": True}
    ) as server:
        url = f"smtp://billing:pa%3Ass@{HOST}:{server.port}"
        driver = NotifierDriver(store, settings_of(url, smtp_ssl_cafile=certificate[0]))
        await driver.take(fact(JOB))
        await driver.send_due()
        assert server.signed_in == ["billing:pa:ss"]
        assert server.recipients == ["u1@example.com"]


async def test_a_server_that_cannot_prove_who_it_is_gets_no_mail(
    store: Database, certificate: tuple[str, str]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with MailServer(options={"tls_context": context}) as server:
        driver = NotifierDriver(store, settings_of(server.url))
        await driver.take(fact(JOB))
        await driver.send_due()
        assert server.taken == []
        assert (await status_of(driver))[:2] == ("queued", 1)
