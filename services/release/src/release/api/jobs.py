"""Release jobs: start, validate first, and look at how they fare (contract.md section 2)."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field, JsonValue, model_validator

from release.api.billing_events import MayRelease, starter_of
from release.domain.jobs import JobStatus
from release.domain.settings import ReleaseSettings
from release.facts import format_instant, reason_bodies
from release.handlers.job_acceptance import JobAsk, accept_job, do_at_once
from release.handlers.validation import validate_selection
from release.job_facts import FAILURES_SHOWN_MAX, job_body
from release.store import jobs
from release.store.connection import Reader
from release.store.jobs import Job
from shared.contracts.base import Closed, Id, UserId, field_error
from shared.contracts.requests import ReleaseJobRequest
from shared.contracts.selections import RequestSelect
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.http.application import LARGE_BODY_BYTES_MAX
from shared.http.idempotency import Answer, answer_once
from shared.http.pages import Page, PageRequest, page_response, pages_by
from shared.http.problems import FieldError, Problem, not_found, validation_failed
from shared.ids import new_id

JobId = Annotated[Id, Path(description="the job's id")]

_JOB: dict[int | str, dict[str, Any]] = {200: {"model": dict[str, JsonValue]}}
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {"model": dict[str, JsonValue], "description": "Of mode `auto` and small enough: done"},
    202: {"model": dict[str, JsonValue], "description": "Accepted"},
}
_PAGE: dict[int | str, dict[str, Any]] = {200: {"model": Page[dict[str, JsonValue]]}}


class JobRequest(ReleaseJobRequest):
    """The body of `POST /release-jobs`."""

    dry_run: Annotated[
        bool,
        Field(description="Decide everything, do nothing: the log tells what would become of each event"),
    ] = False
    validated_by_job_id: Annotated[
        Id | None,
        Field(description="The dry run that the job was confirmed with; its verdicts go into the log"),
    ] = None

    @model_validator(mode="after")
    def _only_a_real_job_was_confirmed(self) -> Self:
        if self.dry_run and self.validated_by_job_id is not None:
            raise field_error(("validated_by_job_id",), "dry_run", "should not be given with dry_run")
        return self


class ValidationRequest(Closed):
    """The body of `POST /release-jobs/validate`."""

    select: RequestSelect


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
        run, what that would do.
        """
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
            body.validated_by_job_id,
        )

        async def action(work: UnitOfWork) -> Answer:
            await _require_dry_run(work.connection, body.validated_by_job_id)
            job = await do_at_once(work, ask, settings)
            status = 202 if job is None else 200
            if job is None:
                await accept_job(work, ask, settings)
            return Answer(status, await _shown(work.connection, job_id, public_url))

        return await answer_once(database, request, principal, action)

    @router.post(
        "/release-jobs/validate",
        response_model=None,
        responses=_JOB,
        max_body_size=LARGE_BODY_BYTES_MAX,
    )
    async def validate_release_job(body: ValidationRequest, principal: MayRelease) -> dict[str, Any]:
        """Which of the selected events a job would refuse, and why; nothing is done."""
        validation = await validate_selection(
            database.pool, body.select, principal.projects, settings, validation_limit=validation_limit
        )
        return {
            "checked": validation.checked,
            "would_fail": [
                {"billing_event_id": billing_event_id, "reasons": reason_bodies(reasons)}
                for billing_event_id, reasons in validation.would_fail.items()
            ],
            "would_release": list(validation.would_release),
            "validated": validation.is_validated,
        }

    add_reading(router, database, public_url)
    return router


def add_reading(router: APIRouter, database: Database, public_url: str) -> None:
    """The calls that only look at jobs."""

    @router.get("/release-jobs", response_model=None, responses=_PAGE)
    async def list_release_jobs(
        principal: MayRelease,
        page: Annotated[PageRequest, pages_by(datetime, str)],
        status: Annotated[JobStatus | None, Query()] = None,
        starter: Annotated[UserId | None, Query(description="the user who started them")] = None,
    ) -> dict[str, Any]:
        """Jobs, the newest first, each with its first failures; all are in its log."""
        found = await jobs.load_jobs(
            database.pool,
            status=status,
            starter_user_id=starter,
            before=_moment_and_id(page),
            rows_max=page.limit + 1,
        )
        shown, next_cursor = page.cut(found, lambda job: (job.created_at, job.job_id))
        failures = await jobs.load_failures(
            database.pool, [job.job_id for job in shown], failures_max=FAILURES_SHOWN_MAX
        )
        return page_response([job_body(job, failures[job.job_id], public_url) for job in shown], next_cursor)

    @router.get("/release-jobs/{job_id}", response_model=None, responses=_JOB)
    async def get_release_job(job_id: JobId, principal: MayRelease) -> dict[str, Any]:
        """One job with its first failures."""
        return await _shown(database.pool, job_id, public_url)

    @router.get("/release-jobs/{job_id}/log", response_model=None, responses=_PAGE)
    async def get_release_job_log(
        job_id: JobId,
        principal: MayRelease,
        page: Annotated[PageRequest, pages_by(int)],
        result: Annotated[jobs.ResultName | None, Query()] = None,
    ) -> dict[str, Any]:
        """What became of each event, in the order of the selection."""
        job = await jobs.load_job(database.pool, job_id)
        if job is None:
            raise _job_not_found(job_id)
        after = page.after[0] if page.after is not None else 0
        rows = await jobs.load_log(
            database.pool,
            job,
            after_place=after if isinstance(after, int) else 0,
            result=result,
            rows_max=page.limit + 1,
        )
        shown, next_cursor = page.cut(rows, lambda row: (row["place"],))
        return page_response([_log_entry(row) for row in shown], next_cursor)


def _moment_and_id(page: PageRequest) -> tuple[datetime, str] | None:
    match page.after:
        case (datetime() as created_at, str() as job_id):
            return created_at, job_id
    return None


async def _shown(connection: Reader, job_id: str, public_url: str) -> dict[str, Any]:
    job: Job | None = await jobs.load_job(connection, job_id)
    if job is None:
        raise _job_not_found(job_id)
    failures = await jobs.load_failures(connection, [job_id], failures_max=FAILURES_SHOWN_MAX)
    return job_body(job, failures[job_id], public_url)


async def _require_dry_run(connection: Reader, job_id: str | None) -> None:
    if job_id is None:
        return
    job = await jobs.load_job(connection, job_id)
    if job is None or not job.dry_run:
        raise validation_failed([FieldError("validated_by_job_id", "should be the id of a dry run")])


def _job_not_found(job_id: str) -> Problem:
    return not_found(f"There is no release job {job_id}.")


def _log_entry(row: Any) -> dict[str, Any]:
    return {
        "billing_event_id": row["billing_event_id"],
        "result": row["result"],
        "document_id": row["document_id"],
        "new_billing_event_id": row["new_billing_event_id"],
        "reasons": row["reasons"] or [],
        "expected": row["expected"],
        "expected_reasons": row["expected_reasons"] or [],
        "time": None if row["decided_at"] is None else format_instant(row["decided_at"]),
    }
