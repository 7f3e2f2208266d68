"""Reading billing events, and changing them by hand (contract.md section 2)."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import JsonValue

from release.domain.fills import Fill
from release.domain.reasons import Reason
from release.domain.refusals import not_permitted
from release.domain.settings import ReleaseSettings
from release.domain.sources import CompanySource
from release.domain.stages import Stage
from release.facts import billing_event_body, format_instant, reason_bodies
from release.handlers.by_hand import Change, Hold, Recalculation, change_by_hand, fill_of
from release.store.event_lists import EventFilter, list_event_ids
from release.store.events import StoredEvent, load_events
from release.store.history import load_history
from shared.contracts.base import CurrencyCode, Id
from shared.contracts.billing_event import BillingEvent
from shared.contracts.command_fields import FillFields, HoldFields
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.http.application import LARGE_BODY_BYTES_MAX
from shared.http.authorization import require
from shared.http.idempotency import Answer, answer_once
from shared.http.pages import Page, PageRequest, page_response, pages_by
from shared.http.problems import Problem, not_found
from shared.http.tokens import Principal
from shared.ids import new_id

EventId = Annotated[Id, Path(description="the billing event's id")]
MayRead = Annotated[Principal, require("billing-events:read")]
MayRelease = Annotated[Principal, require("billing-events:release")]

_EVENT: dict[int | str, dict[str, Any]] = {200: {"model": BillingEvent}}
_PAGE: dict[int | str, dict[str, Any]] = {200: {"model": Page[dict[str, JsonValue]]}}


def starter_of(principal: Principal) -> dict[str, Any]:
    """Who asks, as facts and the history name them."""
    return {"user_id": principal.user_id, "email": principal.email}


def refused(billing_event_id: str, reasons: list[Reason]) -> Problem:
    """409: the event does not allow it; the code is the first reason's."""
    return Problem(
        409,
        reasons[0].code,
        "The billing event does not allow this",
        detail=reasons[0].message,
        members={"billing_event_id": billing_event_id, "reasons": reason_bodies(reasons)},
    )


def event_not_found(billing_event_id: str) -> Problem:
    """404: there is no such billing event."""
    return not_found(f"There is no billing event {billing_event_id}.")


async def require_permitted(
    work: UnitOfWork, principal: Principal, billing_event_id: str, support_contact: str
) -> None:
    """Raise Problem `not_permitted` where the token's projects do not list the event's, 404 where there is none."""
    if principal.projects is None:
        return
    stored = (await load_events(work.connection, [billing_event_id])).get(billing_event_id)
    if stored is None:
        raise event_not_found(billing_event_id)
    if stored.event.project_id not in principal.projects:
        raise refused(billing_event_id, [not_permitted(stored.event.project_id, support_contact)])


def reading_router(database: Database) -> APIRouter:
    """The calls that read billing events."""
    router = APIRouter(tags=["billing events"])

    @router.get("/billing-events", response_model=None, responses=_PAGE)
    async def list_billing_events(
        *,
        principal: MayRead,
        page: Annotated[PageRequest, pages_by(str)],
        stage: Annotated[
            Stage | None, Query(description="`awaiting_release` holds what is `queued`, too, so marked")
        ] = None,
        project_id: Annotated[Id | None, Query()] = None,
        account_id: Annotated[Id | None, Query()] = None,
        currency: Annotated[CurrencyCode | None, Query()] = None,
        batch_id: Annotated[Id | None, Query()] = None,
        left_out: Annotated[
            bool | None,
            Query(description="whether its document leaves out items that are still to be billed"),
        ] = None,
    ) -> dict[str, Any]:
        """Billing events in the order of their ids, without their items."""
        wanted = EventFilter(_stages(stage), project_id, account_id, currency, batch_id, left_out)
        after = page.after[0] if page.after is not None else None
        ids = await list_event_ids(database.pool, wanted, after=_text(after), rows_max=page.limit + 1)
        shown, next_cursor = page.cut(ids, lambda billing_event_id: (billing_event_id,))
        stored = await load_events(database.pool, shown)
        return page_response([_head(stored[each]) for each in shown if each in stored], next_cursor)

    @router.get("/billing-events/{billing_event_id}", response_model=None, responses=_EVENT)
    async def get_billing_event(billing_event_id: EventId, principal: MayRead) -> dict[str, Any]:
        """One billing event with its items."""
        return billing_event_body(await _load(database, billing_event_id))

    @router.get("/billing-events/{billing_event_id}/history", response_model=None, responses=_PAGE)
    async def get_history(
        billing_event_id: EventId, principal: MayRead, page: Annotated[PageRequest, pages_by(int)]
    ) -> dict[str, Any]:
        """What happened to a billing event, and why, the oldest first."""
        after = page.after[0] if page.after is not None else None
        entries = await load_history(
            database.pool,
            billing_event_id,
            after_entry_id=after if isinstance(after, int) else None,
            rows_max=page.limit + 1,
        )
        if not entries:
            await _load(database, billing_event_id)
        shown, next_cursor = page.cut(entries, lambda entry: (entry["entry_id"],))
        return page_response([_entry(row) for row in shown], next_cursor)

    return router


def changing_router(
    database: Database, company_source: CompanySource, settings: ReleaseSettings
) -> APIRouter:
    """The calls that fill, hold and recalculate."""
    router = APIRouter(tags=["billing events"])

    async def change(request: Request, principal: Principal, billing_event_id: str, what: Any) -> Response:
        async def action(work: UnitOfWork) -> Answer:
            await require_permitted(work, principal, billing_event_id, settings.support_contact)
            wanted = Change(billing_event_id, what, Cause.begun_here(new_id()), starter_of(principal))
            (outcome,) = await change_by_hand(work, [wanted], company_source, tells_refusals=False)
            if outcome.stored is None:
                raise event_not_found(billing_event_id)
            if outcome.refusal is not None:
                raise refused(billing_event_id, [outcome.refusal])
            return Answer(200, billing_event_body(outcome.stored))

        return await answer_once(database, request, principal, action)

    @router.patch(
        "/billing-events/{billing_event_id}",
        response_model=None,
        responses=_EVENT,
        max_body_size=LARGE_BODY_BYTES_MAX,
    )
    async def fill_billing_event(
        billing_event_id: EventId, body: FillFields, request: Request, principal: MayRelease
    ) -> Response:
        """Fill what is empty: all that is given, or nothing."""
        what: Fill = fill_of(body)
        return await change(request, principal, billing_event_id, what)

    @router.post("/billing-events/{billing_event_id}/hold", response_model=None, responses=_EVENT)
    async def hold_billing_event(
        billing_event_id: EventId, body: HoldFields, request: Request, principal: MayRelease
    ) -> Response:
        """Hold the billing event back from release, or let it go on."""
        return await change(request, principal, billing_event_id, Hold(body.on_hold))

    @router.post("/billing-events/{billing_event_id}/recalculate", response_model=None, responses=_EVENT)
    async def recalculate_billing_event(
        billing_event_id: EventId, request: Request, principal: MayRelease
    ) -> Response:
        """Copy what the business records now say into the items that name an earlier version of them."""
        return await change(request, principal, billing_event_id, Recalculation())

    return router


async def _load(database: Database, billing_event_id: str) -> StoredEvent:
    stored = await load_events(database.pool, [billing_event_id])
    if billing_event_id not in stored:
        raise event_not_found(billing_event_id)
    return stored[billing_event_id]


def _stages(stage: Stage | None) -> list[Stage] | None:
    """The stages that a list of one holds: what is queued still awaits release (domain.md section 1)."""
    if stage is None:
        return None
    return [stage, Stage.QUEUED] if stage is Stage.AWAITING_RELEASE else [stage]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _head(stored: StoredEvent) -> dict[str, Any]:
    body = billing_event_body(stored)
    body["item_count"] = len(body.pop("items"))
    return body


def _entry(row: Any) -> dict[str, Any]:
    return {
        "entry_id": row["entry_id"],
        "time": format_instant(row["recorded_at"]),
        "what": row["what"],
        "actor": row["actor"],
        "job_id": row["job_id"],
        "correlation_id": row["correlation_id"],
        "detail": row["detail"],
    }
