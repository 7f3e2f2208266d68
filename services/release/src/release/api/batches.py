"""Billing event batches, derived from their events (domain.md section 1)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from pydantic import JsonValue

from release.api.billing_events import MayRead
from release.domain.stages import RELEASED_STAGES, Stage, is_batch_released
from release.store.event_lists import BatchPart, list_batch_ids, load_batches
from shared.contracts.base import Id
from shared.database.database import Database
from shared.http.pages import Page, PageRequest, page_response, pages_by
from shared.http.problems import not_found
from shared.money import ZERO, format_amount

_LEFT_ASIDE: Final = frozenset({Stage.REVERTED, Stage.DELETED})
_BATCH: dict[int | str, dict[str, Any]] = {200: {"model": dict[str, JsonValue]}}
_PAGE: dict[int | str, dict[str, Any]] = {200: {"model": Page[dict[str, JsonValue]]}}


def batches_router(database: Database) -> APIRouter:
    """The calls that read batches."""
    router = APIRouter(tags=["billing event batches"])

    @router.get("/billing-event-batches", response_model=None, responses=_PAGE)
    async def list_batches(principal: MayRead, page: Annotated[PageRequest, pages_by(str)]) -> dict[str, Any]:
        """Batches in the order of their ids."""
        after = page.after[0] if page.after is not None else None
        ids = await list_batch_ids(
            database.pool, after=after if isinstance(after, str) else None, rows_max=page.limit + 1
        )
        shown, next_cursor = page.cut(ids, lambda batch_id: (batch_id,))
        batches = await load_batches(database.pool, shown)
        return page_response(
            [batch_body(each, batches[each]) for each in shown if each in batches], next_cursor
        )

    @router.get("/billing-event-batches/{batch_id}", response_model=None, responses=_BATCH)
    async def get_batch(
        batch_id: Annotated[Id, Path(description="the batch's id")], principal: MayRead
    ) -> dict[str, Any]:
        """One batch."""
        batches = await load_batches(database.pool, [batch_id])
        if batch_id not in batches:
            raise not_found(f"There is no billing event batch {batch_id}.")
        return batch_body(batch_id, batches[batch_id])

    return router


def batch_body(batch_id: str, parts: Sequence[BatchPart]) -> dict[str, Any]:
    """A batch: whether it is Released, its events by stage, and its totals by currency.

    Reverted and deleted events are counted in `stages` only (domain.md section 1).
    """
    counted = [part for part in parts if part.stage not in _LEFT_ASIDE]
    stages: dict[str, int] = {}
    for part in parts:
        stages[part.stage.value] = stages.get(part.stage.value, 0) + part.events
    released = is_batch_released(part.stage for part in parts)
    return {
        "batch_id": batch_id,
        "status": "released" if released else "open",
        "released": released,
        "account_ids": sorted({account_id for part in counted for account_id in part.account_ids}),
        "billing_events": sum(part.events for part in counted),
        "stages": stages,
        "totals": _totals(counted),
        "released_totals": _totals([part for part in counted if part.stage in RELEASED_STAGES]),
    }


def _totals(parts: Sequence[BatchPart]) -> dict[str, str]:
    totals: dict[str, Decimal] = {}
    for part in parts:
        totals[part.currency] = totals.get(part.currency, ZERO) + part.amount
    return {currency: format_amount(amount, currency) for currency, amount in sorted(totals.items())}
