"""The reconciliation that users can run at any time (domain.md section 6)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from fastapi import APIRouter
from pydantic import JsonValue

from release.api.billing_events import MayRead
from release.facts import format_instant
from release.store.reconciliation import run_checks
from shared.contracts import topics
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.ids import new_id
from shared.money import format_number

DIFFERENCES_MAX: Final = 50
_STREAMS: Final = (topics.PSA_BILLING_EVENTS, topics.RELEASE_COMMANDS, topics.ACCOUNTING_EVENTS)
_RECONCILIATION: dict[int | str, dict[str, Any]] = {200: {"model": dict[str, JsonValue]}}


def reconciliation_router(database: Database) -> APIRouter:
    """The call that reconciles."""
    router = APIRouter(tags=["reconciliation"])

    @router.get("/reconciliation", response_model=None, responses=_RECONCILIATION)
    async def reconcile(principal: MayRead) -> dict[str, Any]:
        """Whether the books of the release service balance, check by check, with the first differences of each."""
        async with (
            database.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            checks = await run_checks(connection, streams=_STREAMS, differences_max=DIFFERENCES_MAX)
        bodies: list[dict[str, Any]] = [
            {
                "check": check.name,
                "balanced": not check.differences,
                "differences": [
                    {name: _json(value) for name, value in difference.items()}
                    for difference in check.differences
                ],
            }
            for check in checks
        ]
        unbalanced = [body for body in bodies if not body["balanced"]]
        if unbalanced:
            await database.run(lambda work: _tell_operators(work, unbalanced))
        return {"balanced": not unbalanced, "checks": bodies}

    return router


async def _tell_operators(work: UnitOfWork, unbalanced: Sequence[dict[str, Any]]) -> None:
    """A difference is an alert, whoever was the first to see it (domain.md section 8)."""
    reconciliation_id = new_id()
    body = {
        "reconciliation_id": reconciliation_id,
        "time": format_instant(datetime.now(UTC)),
        "checks": unbalanced,
        "starter": None,
    }
    work.publish("release.reconciliation.difference-found.v1", reconciliation_id, body)


def _json(value: object) -> object:
    return format_number(value) if isinstance(value, Decimal) else value
