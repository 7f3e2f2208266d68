"""Releasing one billing event, looking at what a release would do, and undoing one (contract.md section 2)."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import JsonValue

from release.api.billing_events import (
    EventId,
    MayRead,
    MayRelease,
    event_not_found,
    require_permitted,
    starter_of,
)
from release.domain.reasons import Reason
from release.domain.release import Outcome, Refused
from release.domain.revert import RevertPlan
from release.domain.settings import Channel, OnCap, ReleaseRequest, ReleaseSettings, becomes_job
from release.facts import reason_bodies
from release.handlers.quick_action import preview_one, release_one
from release.handlers.release_many import Ask
from release.handlers.revert import RevertAsk, start_revert
from release.release_facts import preview_body, result_body
from release.store.events import load_events
from release.store.jobs import Job
from shared.contracts.command_fields import ReleaseFields, RevertFields
from shared.contracts.release_facts import ReleaseResult
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.http.authorization import require
from shared.http.idempotency import Answer, answer_once
from shared.http.problems import PROBLEM_MEDIA_TYPE, Problem
from shared.http.tokens import Principal
from shared.ids import new_id

MayRevert = Annotated[Principal, require("billing-events:revert")]

_RELEASED: dict[int | str, dict[str, Any]] = {
    200: {"model": ReleaseResult},
    202: {"model": dict[str, JsonValue], "description": "It became a job because of its size"},
}
_PREVIEW: dict[int | str, dict[str, Any]] = {200: {"model": dict[str, JsonValue]}}
_REVERTING: dict[int | str, dict[str, Any]] = {202: {"model": dict[str, JsonValue]}}


def release_router(database: Database, settings: ReleaseSettings) -> APIRouter:
    """The calls that release one event, preview that, and revert."""
    router = APIRouter(tags=["release"])

    @router.post("/billing-events/{billing_event_id}/release", response_model=None, responses=_RELEASED)
    async def release_billing_event(
        billing_event_id: EventId,
        request: Request,
        principal: MayRelease,
        body: ReleaseFields | None = None,
    ) -> Response:
        """Release the event whole or, where a cap stands against it and `on_cap` is `split`, what can be billed."""
        on_cap = OnCap.REFUSE if body is None else OnCap(body.on_cap)
        ask = _ask_of(billing_event_id, principal, on_cap)

        async def action(work: UnitOfWork) -> Answer:
            outcome = await release_one(work, ask, settings)
            if outcome is None:
                raise event_not_found(billing_event_id)
            if isinstance(outcome, Job):
                return Answer(202, {"job_id": outcome.job_id, "status": outcome.status.value})
            if isinstance(outcome, Refused):
                return refused_answer(
                    request, billing_event_id, outcome.reasons, preview=preview_body(outcome)
                )
            return Answer(200, result_body(outcome))

        return await answer_once(database, request, principal, action)

    @router.get("/billing-events/{billing_event_id}/release-preview", response_model=None, responses=_PREVIEW)
    async def preview_release(billing_event_id: EventId, principal: MayRead) -> dict[str, Any]:
        """What a release, confirmed where a cap stands against it, would do as things stand."""
        ask = _ask_of(billing_event_id, principal, OnCap.REFUSE)
        outcome = await preview_one(database.pool, ask, settings)
        if outcome is None:
            raise event_not_found(billing_event_id)
        stored = await load_events(database.pool, [billing_event_id])
        large = becomes_job(len(stored[billing_event_id].event.items), settings)
        return _preview(billing_event_id, outcome) | {"becomes_job": large}

    @router.post(
        "/billing-events/{billing_event_id}/revert",
        response_model=None,
        status_code=202,
        responses=_REVERTING,
    )
    async def revert_billing_event(
        billing_event_id: EventId,
        request: Request,
        principal: MayRevert,
        body: RevertFields | None = None,
    ) -> Response:
        """Undo the release: the event is `reverting` until the accounting connector has withdrawn it or refused to."""
        cascade = body is not None and body.cascade
        cause = Cause.begun_here(new_id())
        ask = RevertAsk(billing_event_id, cascade, starter_of(principal), cause)

        async def action(work: UnitOfWork) -> Answer:
            await require_permitted(work, principal, billing_event_id, settings.support_contact)
            plan = await start_revert(work, ask)
            if isinstance(plan, RevertPlan):
                return Answer(202, _plan_body(billing_event_id, plan))
            if plan[0].code == "not_found":
                raise event_not_found(billing_event_id)
            return refused_answer(request, billing_event_id, plan)

        return await answer_once(database, request, principal, action)

    return router


def _ask_of(billing_event_id: str, principal: Principal, on_cap: OnCap) -> Ask:
    return Ask(
        billing_event_id,
        ReleaseRequest(Channel.QUICK, on_cap, permitted_projects=principal.projects),
        starter_of(principal),
        Cause.begun_here(new_id()),
        is_published=False,
    )


def refused_answer(
    request: Request,
    billing_event_id: str,
    reasons: tuple[Reason, ...],
    *,
    preview: dict[str, Any] | None = None,
) -> Answer:
    """409 as problem details. It is answered, not raised: what the history holds of it stays."""
    problem = Problem(
        409,
        reasons[0].code,
        "The billing event does not allow this",
        detail=reasons[0].message,
        members={
            "billing_event_id": billing_event_id,
            "reasons": reason_bodies(reasons),
            "preview": preview,
        },
    )
    return Answer(409, problem.body(request.scope["path"]), {"Content-Type": PROBLEM_MEDIA_TYPE})


def _preview(billing_event_id: str, outcome: Outcome) -> dict[str, Any]:
    if not isinstance(outcome, Refused):
        return result_body(outcome) | {"reasons": []}
    reasons = reason_bodies(outcome.reasons)
    offered = preview_body(outcome)
    if offered is not None:
        return offered | {"reasons": reasons}
    return {
        "billing_event_id": billing_event_id,
        "outcome": "refused",
        "released_item_ids": [],
        "moved_item_ids": [],
        "adjustments": [],
        "new_billing_event_id": None,
        "cap": None,
        "reasons": reasons,
    }


def _plan_body(billing_event_id: str, plan: RevertPlan) -> dict[str, Any]:
    return {
        "billing_event_id": billing_event_id,
        "stage": "reverting",
        "reverting": list(plan.reverting),
        "deleting": list(plan.deleting),
        "staying": list(plan.staying),
    }
