"""The live progress of a run (domain.md section 5, Execution report), beside polling."""

import json
from collections.abc import AsyncIterable, AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from billing_runs.api.reading import read_run
from billing_runs.api.shapes import execution_shape, run_shape
from billing_runs.handlers.progress_feed import ProgressFeed, Subscription, TooManyStreamsError
from billing_runs.store import executions
from shared.contracts.base import Id
from shared.database.database import Database
from shared.http.authorization import require
from shared.http.problems import PROBLEM_MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem
from shared.http.tokens import Principal

Reads = Annotated[Principal, require("billing-runs:read")]

_RECONNECT_MILLISECONDS: Final = 2_000
_PROBLEM: Final = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_TOO_MANY: Final[dict[int | str, dict[str, Any]]] = {
    429: {"description": "Too many streams are open", "content": _PROBLEM}
}


def progress_router(database: Database, feed: ProgressFeed) -> APIRouter:
    """The stream of a run's progress."""
    router = APIRouter(prefix="/billing-runs/{run_id}", tags=["reports"])

    async def subscription(
        principal: Reads,
        run_id: Id,
        last_event_id: Annotated[str | None, Header(pattern=r"^[0-9a-f]{32}$")] = None,
    ) -> AsyncIterator[Subscription]:
        await read_run(database.pool, run_id)
        try:
            async with feed.subscribe(principal.user_id, run_id, last_event_id) as opened:
                yield opened
        except TooManyStreamsError:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise Problem(429, "too_many_streams", "Too many streams are open", headers=headers) from None

    @router.get(
        "/events",
        response_class=EventSourceResponse,
        responses=_TOO_MANY,
        summary="The run's progress as it comes",
    )
    async def progress(
        opened: Annotated[Subscription, Depends(subscription)],
    ) -> AsyncIterable[ServerSentEvent]:
        """How the run stands, as events named `progress` with the run and its latest execution, first at once and then
        whenever it has moved; with `Last-Event-ID`, only once it has moved since. The stream ends after a while: come
        again.
        """
        yield ServerSentEvent(comment="open", retry=_RECONNECT_MILLISECONDS)
        async for mark in feed.marks(opened):
            body = await _progress_body(database, opened.run_id)
            yield ServerSentEvent(event="progress", id=mark, raw_data=json.dumps(body))

    return router


async def _progress_body(database: Database, run_id: str) -> dict[str, Any]:
    run = await read_run(database.pool, run_id)
    latest = (await executions.latest_executions(database.pool, [run_id])).get(run_id)
    return {
        "run": run_shape(run, await executions.executions_of(database.pool, run_id)),
        "execution": execution_shape(latest) if latest is not None else None,
    }
