"""A mail server that refuses, hangs, or goes away after the data: every mail arrives, none becomes two."""

import asyncio
from typing import Final

import asyncpg

from sluice.system import System
from support.faults import spawn, wait_until_ready
from support.mail_server import Failure, unreliable_mail_server
from support.trial import Trial

_SENT: Final = "select lower(recipient), status, attempts from notifier.deliveries where recipient like $1"

_DUE: Final = """
update notifier.deliveries set due_at = now()
where status = 'queued' and attempts > 0 and leased_until is null and due_at > now()
"""


async def test_mails_arrive_whatever_the_server_does_at_first(trial: Trial) -> None:
    system = trial.system
    notifier = system.services["notifier"]
    system.pause_watch("notifier")
    with unreliable_mail_server() as server:
        await asyncio.to_thread(notifier.stop)
        spawn(system, "notifier", settings={"SMTP_URL": server.url})
        await wait_until_ready(system, "notifier")
        plan = trial.plan(events=160)
        hours = asyncio.create_task(_let_hours_pass(system))
        await trial.hold(plan, events_per_second=200)
        hours.cancel()
        await asyncio.to_thread(notifier.stop)
    spawn(system, "notifier")
    await wait_until_ready(system, "notifier")
    system.resume_watch("notifier")
    connection = await asyncpg.connect(system.infrastructure.database.administrator_url)
    try:
        deliveries = await connection.fetch(_SENT, f"{plan.code}-%@example.com".lower())
    finally:
        await connection.close()
    recipients = {address for address, _, _ in deliveries}
    ours = {address: ids for address, ids in server.taken.items() if address in recipients}
    assert {status for _, status, _ in deliveries} == {"sent"}
    assert set(ours) == recipients
    assert set(server.failures.values()) == set(Failure), "every way of failing was met"
    mails = {address: sum(1 for each, _, _ in deliveries if each == address) for address in recipients}
    assert {address: len(ids) for address, ids in ours.items()} == mails, (
        "a mail that comes again is the same one"
    )
    for address, ids in ours.items():
        lost = 1 if server.failures[address] is Failure.DROP else 0
        assert sum(ids.values()) == mails[address] + lost, (
            f"{address}: only a lost answer makes a mail come again"
        )


async def _let_hours_pass(system: System) -> None:
    """What was not taken is due again at once, so that nobody waits for minutes."""
    connection = await asyncpg.connect(system.infrastructure.database.administrator_url)
    try:
        while True:
            await connection.execute(_DUE)
            await asyncio.sleep(0.2)
    finally:
        await connection.close()
