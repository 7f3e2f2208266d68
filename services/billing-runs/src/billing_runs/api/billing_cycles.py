"""Billing cycles over HTTP (contract.md section 2, PUT /billing-cycles/{id})."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from billing_runs.domain.scope import BillingCycle
from billing_runs.store import billing_cycles
from billing_runs.store.billing_cycles import StoredCycle
from shared.contracts.base import REQUEST_IDS_MAX, Closed, Id, Name
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.http.application import LARGE_BODY_BYTES_MAX
from shared.http.authorization import require
from shared.http.idempotency import Answer, answer_once
from shared.http.pages import PageRequest, page_response, pages_by
from shared.http.problems import not_found
from shared.http.tokens import Principal

Reads = Annotated[Principal, require("billing-runs:read")]
Saves = Annotated[Principal, require("settings:write")]


class BillingCycleBody(Closed):
    """A billing cycle; `accounts` null: those that name the cycle. `billing_cycle_id`, as read, is ignored."""

    billing_cycle_id: Id | None = None
    name: Name
    accounts: list[Id] | None = Field(default=None, max_length=REQUEST_IDS_MAX)
    frequency: Literal["daily", "weekly", "fortnightly", "monthly", "quarterly", "half_yearly", "yearly"]
    cut_off_day: Annotated[int, Field(strict=True, ge=1, le=31)] | None = None


def billing_cycles_router(database: Database) -> APIRouter:
    """The calls on billing cycles."""
    router = APIRouter(prefix="/billing-cycles", tags=["billing cycles"])

    @router.get("", summary="Billing cycles, by id")
    async def list_all(principal: Reads, page: Annotated[PageRequest, pages_by(str)]) -> dict[str, Any]:
        after: Any = page.after[0] if page.after is not None else ""
        found = await billing_cycles.list_cycles(database.pool, after=after, limit=page.limit + 1)
        shown, cursor = page.cut(found, lambda each: (each.cycle.billing_cycle_id,))
        return page_response([_shape(each) for each in shown], cursor)

    @router.get("/{billing_cycle_id}", summary="A billing cycle")
    async def read(principal: Reads, billing_cycle_id: Id) -> dict[str, Any]:
        stored = await billing_cycles.load_cycle(database.pool, billing_cycle_id)
        if stored is None:
            raise not_found()
        return _shape(stored)

    @router.put("/{billing_cycle_id}", summary="Describe a billing cycle", max_body_size=LARGE_BODY_BYTES_MAX)
    async def save(
        request: Request, principal: Saves, billing_cycle_id: Id, body: BillingCycleBody
    ) -> Response:
        accounts = frozenset(body.accounts) if body.accounts is not None else None
        stored = StoredCycle(
            BillingCycle(billing_cycle_id, accounts), body.name, body.frequency, body.cut_off_day
        )

        async def action(work: UnitOfWork) -> Answer:
            await billing_cycles.save_cycle(work.connection, stored)
            return Answer(200, _shape(stored))

        return await answer_once(database, request, principal, action)

    return router


def _shape(stored: StoredCycle) -> dict[str, Any]:
    accounts = stored.cycle.accounts
    return {
        "billing_cycle_id": stored.cycle.billing_cycle_id,
        "name": stored.name,
        "accounts": sorted(accounts) if accounts is not None else None,
        "frequency": stored.frequency,
        "cut_off_day": stored.cut_off_day,
    }
