"""What one has chosen: by which channels one is told, kind by kind."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from notifier.api.bodies import Preferences, own_email
from notifier.domain.kinds import Kind
from notifier.domain.notifications import Choice
from notifier.store.preferences import load_choices, save_choice
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.http.authorization import require_token
from shared.http.idempotency import Answer, answer_once
from shared.http.tokens import Principal

Own = Annotated[Principal, require_token()]


def preferences_router(database: Database) -> APIRouter:
    """The calls about one's own preferences."""
    router = APIRouter(tags=["preferences"])

    @router.get("/preferences", response_model=Preferences)
    async def get_preferences(principal: Own) -> dict[str, Any]:
        """By which channels one is told; null where the settings decide."""
        choices = await load_choices(database.pool, user_ids=[principal.user_id], emails=[])
        return _body(choices.by_user_id.get(principal.user_id, {}))

    @router.put("/preferences", response_model=Preferences)
    async def put_preferences(request: Request, body: Preferences, principal: Own) -> Response:
        """Choose the channels of all kinds anew: an empty list for none, null to leave it to the settings."""
        choice = {
            kind: frozenset(channels) for kind, channels in body.channels.items() if channels is not None
        }

        async def act(work: UnitOfWork) -> Answer:
            await save_choice(work.connection, principal.user_id, own_email(principal), choice)
            return Answer(200, _body(choice))

        return await answer_once(database, request, principal, act)

    return router


def _body(choice: Choice) -> dict[str, Any]:
    return {"channels": {kind.value: sorted(choice[kind]) if kind in choice else None for kind in Kind}}
