"""Alerts in the application: the list, reading one, and the stream of new ones."""

from collections.abc import AsyncIterable, AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from notifier.api.bodies import Alert, AlertPage, alert_body, own_addresses
from notifier.handlers.alert_feed import AlertFeed, Subscription, TooManyStreamsError
from notifier.mail.rendering import Renderer
from notifier.store.alerts import count_unread, load_alerts, mark_read
from shared.contracts.base import Id
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.http.authorization import require
from shared.http.idempotency import Answer, answer_once
from shared.http.pages import PageRequest, pages_by
from shared.http.problems import PROBLEM_MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem, not_found
from shared.http.tokens import Principal

MayRead = Annotated[Principal, require("alerts:read")]

_RECONNECT_MILLISECONDS: Final = 2_000
_PROBLEM: Final = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_TOO_MANY: Final[dict[int | str, dict[str, Any]]] = {
    429: {"description": "Too many streams are open", "content": _PROBLEM}
}


def alerts_router(database: Database, renderer: Renderer, feed: AlertFeed) -> APIRouter:
    """The calls about one's own alerts."""
    router = APIRouter(tags=["alerts"])

    async def subscription(
        principal: MayRead, last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,18}$")] = None
    ) -> AsyncIterator[Subscription]:
        after = int(last_event_id) if last_event_id is not None else None
        try:
            async with feed.subscribe(own_addresses(principal), after) as opened:
                yield opened
        except TooManyStreamsError:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise Problem(429, "too_many_streams", "Too many streams are open", headers=headers) from None

    @router.get("/alerts", response_model=AlertPage)
    async def list_alerts(
        principal: MayRead,
        page: Annotated[PageRequest, pages_by(datetime, str)],
        unread: Annotated[bool | None, Query(description="only unread ones, or only read ones")] = None,
    ) -> dict[str, Any]:
        """One's alerts, the newest first."""
        addresses = own_addresses(principal)
        rows = await load_alerts(
            database.pool,
            addresses,
            unread=unread,
            before=page.after,  # type: ignore[arg-type]
            rows_max=page.limit + 1,
        )
        shown, next_cursor = page.cut(rows, lambda alert: (alert.created_at, alert.alert_id))
        return {
            "items": [alert_body(alert, renderer) for alert in shown],
            "next_cursor": next_cursor,
            "unread_count": await count_unread(database.pool, addresses),
        }

    @router.get("/alerts/stream", response_class=EventSourceResponse, responses=_TOO_MANY)
    async def stream_alerts(
        opened: Annotated[Subscription, Depends(subscription)],
    ) -> AsyncIterable[ServerSentEvent]:
        """One's alerts as they come, as events named `alert`; with `Last-Event-ID`, those after that one first.

        An alert that counts on comes again, with its new figures. The stream ends after a while: come again.
        """
        yield ServerSentEvent(comment="open", retry=_RECONNECT_MILLISECONDS)
        async for alert in feed.alerts(opened):
            body = Alert.model_validate(alert_body(alert, renderer))
            yield ServerSentEvent(event="alert", id=str(alert.place), raw_data=body.model_dump_json())

    @router.post("/alerts/{alert_id}/read", response_model=Alert)
    async def read_alert(
        request: Request, principal: MayRead, alert_id: Annotated[Id, Path(description="the alert's id")]
    ) -> Response:
        """Mark one of one's alerts as read; one that is read already stays as it is."""

        async def act(work: UnitOfWork) -> Answer:
            alert = await mark_read(work.connection, alert_id, own_addresses(principal))
            if alert is None:
                raise not_found(f"There is no alert {alert_id}.")
            return Answer(200, Alert.model_validate(alert_body(alert, renderer)).model_dump(mode="json"))

        return await answer_once(database, request, principal, act)

    return router
