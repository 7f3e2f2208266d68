"""The books of a quiet system: everything that does not balance, in sentences (domain.md section 6)."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from sluice.broker_options import broker_options
from sluice.system import System
from support.books import messages
from support.books.fact_log import FactLog
from support.books.outcome import outcome_against_expectation
from support.books.queries import QUERIES
from support.books.quiet import READS
from support.load.broker_clients import end_offsets
from support.load.calls import Calls
from support.load.expectation import Expectation
from support.load.records import Record

DIFFERENCES_MAX: Final = 20


async def find_differences(
    system: System,
    told: FactLog,
    *,
    expected: Sequence[Expectation] = (),
    sent: Sequence[Record] = (),
) -> list[str]:
    """Check all invariants, what these plans expect, and that nothing of what was sent is lost.

    The system must be quiet; `told` is read on. An empty list says that the books balance.
    """
    options = broker_options(system.infrastructure.broker.bootstrap_servers)
    await told.read_on(options)
    ends = await end_offsets(options, sorted({topic for topics in READS.values() for topic in topics}))
    connection: asyncpg.Connection[Any] = await asyncpg.connect(
        system.infrastructure.database.administrator_url
    )
    try:
        found = told.differences + await run_queries(connection)
        found += await messages.facts_against_rows(connection, told)
        found += await messages.messages_against_counts(connection, ends)
        found += await messages.dead_letters_against_topics(connection, told.letters)
        found += await messages.sent_against_stored(connection, sent, told.letters)
        for each in expected:
            found += await outcome_against_expectation(connection, each, told)
    finally:
        await connection.close()
    return found + await _own_reconciliation(system)


async def run_queries(connection: "asyncpg.Connection[Any]") -> list[str]:
    """What the invariants in SQL find on this connection, at most DIFFERENCES_MAX rows of each."""
    found = []
    for what, query in QUERIES.items():
        rows = await connection.fetch(f"select * from ({query}) as difference limit {DIFFERENCES_MAX}")
        found += [f"{what}: {dict(row)}" for row in rows]
    return found


async def _own_reconciliation(system: System) -> list[str]:
    """What the services themselves say of their books."""
    found = []
    async with Calls(system) as calls:
        for service in ("release", "accounting-connector"):
            answer = await calls.until_answered(service, "GET", "/reconciliation", statuses={200})
            body = answer.json()
            if not body["balanced"]:
                wrong = [check for check in body["checks"] if not check["balanced"]]
                found.append(f"{service} says that its books do not balance: {wrong}")
    return found
