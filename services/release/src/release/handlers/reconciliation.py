"""Whether the books balance: asked by users, and by the service itself (domain.md section 6)."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import asyncpg
import structlog

from release.facts import format_instant
from release.store.connection import Connection
from release.store.known_differences import note_differences, take_due_check
from release.store.reconciliation import CHECK_NAMES, DIFFERENCES_MAX, Check, run_check, subject_of
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.ids import new_id
from shared.money import format_number
from shared.telemetry import metrics

CHECK_SECONDS_MAX: Final = 30
"""A check of the service's own that takes longer is given up, and begun anew when its time comes round."""

_OPTIONS: Final = f"""
select set_config('statement_timeout', '{CHECK_SECONDS_MAX}s', true),
  set_config('max_parallel_workers_per_gather', '0', true)
"""

log = structlog.get_logger(__name__)


async def reconcile(database: Database) -> list[Check]:
    """All checks on one snapshot of the books; operators are told of what is new."""

    async def look(connection: Connection) -> list[Check]:
        return [await run_check(connection, name) for name in CHECK_NAMES]

    checks = await database.read(look)
    await database.run(lambda work: tell_differences(work, checks))
    return checks


def reconciliation_step(database: Database, *, every_seconds: float) -> Callable[[], Awaitable[bool]]:
    """The step of the worker that reconciles: one check that is due, on one processor, for a bounded time.

    It reads in a transaction of its own that writes nothing, so that nobody waits for its end.
    """

    async def step() -> bool:
        name = await database.run(
            lambda work: take_due_check(work.connection, CHECK_NAMES, every_seconds=every_seconds)
        )
        if name is None:
            return False
        try:
            async with database.pool.acquire() as connection, connection.transaction(readonly=True):
                await connection.execute(_OPTIONS)
                check = await run_check(connection, name)
        except asyncpg.QueryCanceledError:
            log.warning("check of the books took too long", check=name, seconds=CHECK_SECONDS_MAX)
            return False
        await database.run(lambda work: tell_differences(work, [check]))
        return False

    return step


async def tell_differences(work: UnitOfWork, checks: Sequence[Check]) -> None:
    """Tell operators of differences that were not known, whoever was the first to see them (domain.md section 8).

    A difference that was gone and comes again is told again.
    """
    unbalanced = []
    for check in checks:
        new = await note_differences(
            work.connection,
            check.name,
            map(subject_of, check.differences),
            is_complete=len(check.differences) < DIFFERENCES_MAX,
        )
        differences = tuple(each for each in check.differences if subject_of(each) in new)
        metrics.set_book_differences(check.name, len(check.differences))
        if differences:
            unbalanced.append(check_body(Check(check.name, differences)))
    if not unbalanced:
        return
    reconciliation_id = new_id()
    body = {
        "reconciliation_id": reconciliation_id,
        "time": format_instant(datetime.now(UTC)),
        "checks": unbalanced,
        "starter": None,
    }
    work.publish("release.reconciliation.difference-found.v1", reconciliation_id, body)


def check_body(check: Check) -> dict[str, Any]:
    """A check as answers and facts show it."""
    return {
        "check": check.name,
        "balanced": not check.differences,
        "differences": [
            {name: _json(value) for name, value in difference.items()} for difference in check.differences
        ],
    }


def _json(value: object) -> object:
    return format_number(value) if isinstance(value, Decimal) else value
