"""When a system is quiet: topics are read to their ends, outboxes are empty, nothing is under way."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final

import asyncpg
from aiokafka.errors import KafkaError

from sluice.broker_options import broker_options
from sluice.system import System
from support.load.broker_clients import ends_of, reading

QUIET_SECONDS_MAX: Final = 300.0
_LOOK_SECONDS: Final = 0.3
_ANSWER_SECONDS_MAX: Final = 30.0

SCHEMAS: Final[Mapping[str, str]] = {
    "release": "release",
    "accounting-connector": "accounting_connector",
    "billing-runs": "billing_runs",
    "notifier": "notifier",
}
"""Each service's schema."""

_DEAD_LETTERS: Final = tuple(f"{service}.dead-letters" for service in SCHEMAS)
READS: Final[Mapping[str, tuple[str, ...]]] = {
    "release": (
        "psa.projects",
        "psa.accounts",
        "psa.companies",
        "psa.exchange-rates",
        "psa.business-records",
        "psa.billing-events",
        "release.commands",
        "accounting.events",
    ),
    "accounting_connector": ("psa.accounts", "psa.companies", "release.events", "accounting.commands"),
    "billing_runs": ("psa.accounts", "release.events", "accounting.events", "billing-runs.commands"),
    "notifier": ("release.events", "accounting.events", "billing-runs.events", *_DEAD_LETTERS),
}
"""What each schema's service has to have read to the end."""

_UNDER_WAY: Final[Mapping[str, str]] = {
    **{f"{schema}'s outbox": f"select count(*) from {schema}.outbox" for schema in READS},
    "release jobs": "select count(*) from release.release_jobs where status in ('queued', 'running')",
    "events to complete": "select count(*) from release.completions_due",
    "changed sources": "select count(*) from release.source_changes",
    "release's waiting commands": "select count(*) from release.waiting_commands",
    "reverts": "select count(*) from release.billing_events where stage = 'reverting'",
    "process runs": "select count(*) from accounting_connector.process_runs where status = 'in_progress'",
    "events to pass": "select count(*) from accounting_connector.auto_pass_due",
    "the connector's waiting commands": "select count(*) from accounting_connector.waiting_commands",
    "billing runs": "select count(*) from billing_runs.runs where due or execution in ('queued', 'running')",
    "the billing runs' waiting commands": "select count(*) from billing_runs.waiting_commands",
    # A mail that was refused again and again waits for longer.
    "mails": "select count(*) from notifier.deliveries where status = 'queued' and due_at < now() + interval '5 min'",
}


_ANYTHING: Final = "select what, count from (values {}) as looked (what, count) where count > 0".format(
    ", ".join(f"($what${what}$what$, ({query}))" for what, query in _UNDER_WAY.items())
)


async def wait_until_quiet(system: System, *, seconds: float = QUIET_SECONDS_MAX) -> None:
    """Wait until nothing is under way. Raises AssertionError, with what still is, after a limit."""
    end = time.monotonic() + seconds
    while True:
        under_way: dict[str, object] = {"servers": "not seen yet"}
        with contextlib.suppress(
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError, KafkaError, TimeoutError
        ):
            under_way = await look(system)
        if not under_way:
            return
        assert time.monotonic() < end, f"it is not quiet within {seconds:g} s: {under_way}"
        await asyncio.sleep(_LOOK_SECONDS)


async def look(system: System) -> dict[str, object]:
    """What is still under way, by what it is. Raises what the servers raise while they are away.

    Nothing, if at one instant of the database nothing was under way, and all that the topics hold before and after it
    was read: between two looks at different instants, a message could always be where neither of them looks.
    """
    infrastructure = system.infrastructure
    topics = sorted({topic for topics in READS.values() for topic in topics})
    options = broker_options(infrastructure.broker.bootstrap_servers)
    connection: asyncpg.Connection[Any] = await asyncpg.connect(
        infrastructure.database.administrator_url, timeout=_ANSWER_SECONDS_MAX
    )
    try:
        found: dict[str, object] = {row["what"]: row["count"] for row in await connection.fetch(_ANYTHING)}
        if not found:
            async with asyncio.timeout(_ANSWER_SECONDS_MAX), reading(options, topics) as consumer:
                before = await ends_of(consumer, topics)
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    found = {row["what"]: row["count"] for row in await connection.fetch(_ANYTHING)}
                    found |= await _unread(connection, before)
                after = await ends_of(consumer, topics)
            found |= {
                f"{topic}/{partition} grows": (before[topic, partition], end)
                for (topic, partition), end in after.items()
                if end != before[topic, partition]
            }
        return found
    finally:
        await connection.close(timeout=_ANSWER_SECONDS_MAX)


async def _unread(
    connection: "asyncpg.Connection[Any]", ends: Mapping[tuple[str, int], int]
) -> dict[str, object]:
    unread: dict[str, object] = {}
    for schema, topics in READS.items():
        rows = await connection.fetch(
            f"select topic, partition, min(next_offset) as reached from {schema}.consumed_positions group by 1, 2"
        )
        reached = {(row["topic"], row["partition"]): row["reached"] for row in rows}
        for place, end in ends.items():
            if place[0] in topics and reached.get(place, 0) < end:
                unread[f"{schema} reads {place[0]}/{place[1]}"] = (reached.get(place, 0), end)
    return unread
