"""Moving what a document leaves out to a new billing event (documents.md section 3.5)."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from release.api.billing_events import (
    EventId,
    MayRelease,
    event_not_found,
    require_permitted,
    starter_of,
)
from release.api.release import refused_answer
from release.domain.settings import ReleaseSettings
from release.handlers.left_out import MoveAsk, move_on_request
from shared.contracts.release_facts import LeftOutMoved
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.http.idempotency import Answer, answer_once
from shared.ids import new_id

_MOVED: dict[int | str, dict[str, Any]] = {200: {"model": LeftOutMoved}}


def left_out_router(database: Database, settings: ReleaseSettings) -> APIRouter:
    """The call that moves what is left out."""
    router = APIRouter(tags=["release"])

    @router.post("/billing-events/{billing_event_id}/move-left-out", response_model=None, responses=_MOVED)
    async def move_left_out(billing_event_id: EventId, request: Request, principal: MayRelease) -> Response:
        """Make a new billing event, which awaits release, of the items that the event's document leaves out."""
        ask = MoveAsk(billing_event_id, starter_of(principal), Cause.begun_here(new_id()))

        async def action(work: UnitOfWork) -> Answer:
            await require_permitted(work, principal, billing_event_id, settings.support_contact)
            moved = await move_on_request(work, ask)
            if isinstance(moved, dict):
                return Answer(200, moved)
            if moved[0].code == "not_found":
                raise event_not_found(billing_event_id)
            return refused_answer(request, billing_event_id, moved)

        return await answer_once(database, request, principal, action)

    return router
