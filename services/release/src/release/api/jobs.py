"""Release jobs: start, validate first, and stop (contract.md section 2)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field, JsonValue

from release.api.billing_events import MayRelease, starter_of
from release.api.job_reading import JobId, add_reading, job_not_found, shown_job
from release.domain.refusals import not_permitted
from release.domain.settings import OnChunkFailure, ReleaseSettings
from release.facts import reason_bodies
from release.handlers.job_acceptance import (
    DryRunGoneError,
    JobAsk,
    NoDryRunError,
    accept_job,
    asked_on_chunk_failure,
    do_at_once,
)
from release.handlers.job_work import ask_to_stop
from release.handlers.validation import Validation, validate_selection
from release.store import job_selections
from release.store.jobs import Job
from shared.contracts.base import Closed
from shared.contracts.command_fields import OnChunkFailure as OnChunkFailureName
from shared.contracts.requests import ReleaseJobRequest
from shared.contracts.selections import RequestSelect
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.http.application import LARGE_BODY_BYTES_MAX
from shared.http.authorization import check_scope
from shared.http.idempotency import Answer, answer_once
from shared.http.problems import FieldError, Problem, validation_failed
from shared.http.tokens import Principal
from shared.ids import new_id

_JOB: dict[int | str, dict[str, Any]] = {200: {"model": dict[str, JsonValue]}}
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {"model": dict[str, JsonValue], "description": "Of mode `auto` and small enough: done"},
    202: {"model": dict[str, JsonValue], "description": "Accepted"},
}
_STOPPING: dict[int | str, dict[str, Any]] = {202: {"model": dict[str, JsonValue]}}


class JobRequest(ReleaseJobRequest):
    """The body of `POST /release-jobs`."""

    dry_run: Annotated[
        bool,
        Field(description="Decide everything, do nothing: the log tells what would become of each event"),
    ] = False


class ValidationRequest(Closed):
    """The body of `POST /release-jobs/validate`."""

    select: RequestSelect
    on_chunk_failure: OnChunkFailureName | None = None


def jobs_router(
    database: Database, settings: ReleaseSettings, *, validation_limit: int, public_url: str
) -> APIRouter:
    """The calls of release jobs."""
    router = APIRouter(tags=["release jobs"])

    @router.post(
        "/release-jobs",
        response_model=None,
        status_code=202,
        responses=_ACCEPTED,
        max_body_size=LARGE_BODY_BYTES_MAX,
    )
    async def start_release_job(body: JobRequest, request: Request, principal: MayRelease) -> Response:
        """Release what is selected, in the background or, of mode `auto` and small enough, at once; or tell, as a dry
        run, what that would do. `and_invoice` needs the scope `documents:write` too.
        """
        if body.and_invoice:
            check_scope(principal, "documents:write")
        job_id = new_id()
        ask = JobAsk(
            job_id,
            body.mode,
            body.select,
            body.and_invoice,
            starter_of(principal),
            Cause.begun_here(job_id),
            principal.projects,
            body.dry_run,
            asked_on_chunk_failure(body),
        )

        async def action(work: UnitOfWork) -> Answer:
            with _problems_of_dry_runs():
                job = await do_at_once(work, ask, settings)
                status = 202 if job is None else 200
                if job is None:
                    await accept_job(work, ask, settings)
            return Answer(status, await shown_job(work.connection, job_id, public_url))

        return await answer_once(database, request, principal, action)

    @router.post(
        "/release-jobs/validate",
        response_model=None,
        responses=_JOB,
        max_body_size=LARGE_BODY_BYTES_MAX,
    )
    async def validate_release_job(body: ValidationRequest, principal: MayRelease) -> dict[str, Any]:
        """Which of the selected events a job would refuse, and why; nothing is done."""
        rule = OnChunkFailure(body.on_chunk_failure or settings.on_chunk_failure)
        with _problems_of_dry_runs():
            validation = await validate_selection(
                database.pool,
                body.select,
                principal.projects,
                replace(settings, on_chunk_failure=rule),
                validation_limit=validation_limit,
            )
        return _validation_body(validation)

    @router.post("/release-jobs/{job_id}/stop", response_model=None, status_code=202, responses=_STOPPING)
    async def stop_release_job(job_id: JobId, request: Request, principal: MayRelease) -> Response:
        """Stop a job before its next chunk: what it has not decided awaits release again.

        A job that is over stays as it is. A token that lists projects stops its user's own jobs, and those that have
        nothing left to decide of other projects.
        """

        async def action(work: UnitOfWork) -> Answer:
            job = await ask_to_stop(work, job_id, starter_of(principal))
            if job is None:
                raise job_not_found(job_id)
            await _require_may_stop(work, job, principal, settings.support_contact)
            return Answer(202, await shown_job(work.connection, job_id, public_url))

        return await answer_once(database, request, principal, action)

    add_reading(router, database, public_url)
    return router


async def _require_may_stop(work: UnitOfWork, job: Job, principal: Principal, support_contact: str) -> None:
    """Raise Problem `not_permitted` where somebody else's job is to decide on projects that the token does not list."""
    is_own = job.starter is not None and job.starter["user_id"] == principal.user_id
    if principal.projects is None or is_own:
        return
    project_id = await job_selections.project_beside(work.connection, job.job_id, principal.projects)
    if project_id is not None:
        reason = not_permitted(project_id, support_contact)
        members = {"job_id": job.job_id, "reasons": reason_bodies([reason])}
        raise Problem(409, reason.code, "You may not stop this job", detail=reason.message, members=members)


@contextmanager
def _problems_of_dry_runs() -> Iterator[None]:
    """What is wrong with the dry run that a selection names, as problem details."""
    try:
        yield
    except NoDryRunError as error:
        raise validation_failed([FieldError("select.dry_run_id", str(error))]) from None
    except DryRunGoneError as error:
        raise Problem(410, "dry_run_gone", "The dry run's results are gone", detail=str(error)) from None


def _validation_body(validation: Validation) -> dict[str, Any]:
    return {
        "checked": validation.checked,
        "would_fail": [
            {
                "billing_event_id": billing_event_id,
                "reasons": reason_bodies(reasons),
                "can_be_split": billing_event_id in validation.splittable,
            }
            for billing_event_id, reasons in validation.would_fail.items()
        ],
        "held_back": list(validation.held_back),
        "would_release": list(validation.would_release),
        "validated": validation.is_validated,
    }
