"""Reports on a run: executions, statistics, and its events with what became of them (contract.md section 2)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from billing_runs.api.reading import read_run
from billing_runs.api.shapes import execution_shape, run_event_shape, statistics_shape
from billing_runs.domain.executions import LOG_LINES_MAX
from billing_runs.handlers.statistics import statistics_of
from billing_runs.store import executions, run_events
from shared.contracts.base import Id
from shared.database.database import Database
from shared.http.authorization import require
from shared.http.pages import PageRequest, page_response, pages_by
from shared.http.tokens import Principal

Reads = Annotated[Principal, require("billing-runs:read")]
EventState = Literal[
    "selected",
    "asked",
    "left_out",
    "draft",
    "pending",
    "validated",
    "reopened",
    "cancelled",
    "below_threshold",
    "failed",
]


def reports_router(database: Database, *, zero_amounts: bool) -> APIRouter:
    """The reports on one run. `zero_amounts`: whether the connector invoices billing events that sum to zero."""
    router = APIRouter(prefix="/billing-runs/{run_id}", tags=["reports"])

    @router.get("/executions", summary="The execution report, the oldest first")
    async def execution_report(
        principal: Reads, run_id: Id, page: Annotated[PageRequest, pages_by(int)]
    ) -> dict[str, Any]:
        await read_run(database.pool, run_id)
        after: Any = page.after[0] if page.after is not None else 0
        found = await executions.list_executions(
            database.pool, run_id, after=after, limit=page.limit + 1, lines_max=LOG_LINES_MAX + 1
        )
        shown, cursor = page.cut(found, lambda stored: (stored.number,))
        return page_response([execution_shape(stored) for stored in shown], cursor)

    @router.get("/statistics", summary="Figures before and after invoicing")
    async def statistics(principal: Reads, run_id: Id) -> dict[str, Any]:
        run = await read_run(database.pool, run_id)
        figures = await statistics_of(database.pool, run, zero_amounts=zero_amounts)
        return statistics_shape(figures)

    @router.get("/billing-events", summary="Billing events of the run, and what became of them")
    async def events(
        principal: Reads,
        run_id: Id,
        page: Annotated[PageRequest, pages_by(str)],
        state: Annotated[EventState | None, Query()] = None,
    ) -> dict[str, Any]:
        await read_run(database.pool, run_id)
        after: Any = page.after[0] if page.after is not None else ""
        found = await run_events.list_run_events(
            database.pool, run_id, state=state, after=after, limit=page.limit + 1
        )
        shown, cursor = page.cut(found, lambda event: (event.billing_event_id,))
        return page_response([run_event_shape(event) for event in shown], cursor)

    return router
