"""Looking at release jobs and at how they fare (contract.md section 2)."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import JsonValue

from release.api.billing_events import MayRead
from release.domain.jobs import JobStatus
from release.facts import format_instant
from release.job_facts import FAILURES_SHOWN_MAX, job_body
from release.store import job_lists, jobs, put_off_chunks
from release.store.connection import Reader
from release.store.jobs import Job
from shared.contracts.base import Id, UserId
from shared.database.database import Database
from shared.http.pages import Page, PageRequest, page_response, pages_by
from shared.http.problems import Problem, not_found

JobId = Annotated[Id, Path(description="the job's id")]

_JOB: dict[int | str, dict[str, Any]] = {200: {"model": dict[str, JsonValue]}}
_PAGE: dict[int | str, dict[str, Any]] = {200: {"model": Page[dict[str, JsonValue]]}}


def add_reading(router: APIRouter, database: Database, public_url: str) -> None:
    """The calls that only look at jobs."""

    @router.get("/release-jobs", response_model=None, responses=_PAGE)
    async def list_release_jobs(
        principal: MayRead,
        page: Annotated[PageRequest, pages_by(datetime, str)],
        status: Annotated[JobStatus | None, Query()] = None,
        starter: Annotated[UserId | None, Query(description="the user who started them")] = None,
    ) -> dict[str, Any]:
        """Jobs, the newest first, each with its first failures; all are in its log."""
        found = await job_lists.load_jobs(
            database.pool,
            status=status,
            starter_user_id=starter,
            before=_moment_and_id(page),
            rows_max=page.limit + 1,
        )
        shown, next_cursor = page.cut(found, lambda job: (job.created_at, job.job_id))
        failures = await job_lists.load_failures(
            database.pool, [job.job_id for job in shown], failures_max=FAILURES_SHOWN_MAX
        )
        return page_response([job_body(job, failures[job.job_id], public_url) for job in shown], next_cursor)

    @router.get("/release-jobs/{job_id}", response_model=None, responses=_JOB)
    async def get_release_job(job_id: JobId, principal: MayRead) -> dict[str, Any]:
        """One job with its first failures."""
        return await shown_job(database.pool, job_id, public_url)

    @router.get("/release-jobs/{job_id}/log", response_model=None, responses=_PAGE)
    async def get_release_job_log(
        job_id: JobId,
        principal: MayRead,
        page: Annotated[PageRequest, pages_by(int)],
        result: Annotated[job_lists.ResultName | None, Query()] = None,
    ) -> dict[str, Any]:
        """What became of each event, in the order of the selection."""
        if await jobs.load_job(database.pool, job_id) is None:
            raise job_not_found(job_id)
        after = page.after[0] if page.after is not None else 0
        rows = await job_lists.load_log(
            database.pool,
            job_id,
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


async def shown_job(connection: Reader, job_id: str, public_url: str) -> dict[str, Any]:
    """One job as GET shows it, with what its chunks wait for. Raises Problem where there is none."""
    job: Job | None = await jobs.load_job(connection, job_id)
    if job is None:
        raise job_not_found(job_id)
    failures = await job_lists.load_failures(connection, [job_id], failures_max=FAILURES_SHOWN_MAX)
    waits_for = await put_off_chunks.load_waited_for(connection, job_id, entries_max=FAILURES_SHOWN_MAX)
    return job_body(job, failures[job_id], public_url) | {"waits_for": waits_for}


def job_not_found(job_id: str) -> Problem:
    """404: there is no such job."""
    return not_found(f"There is no release job {job_id}.")


def _log_entry(row: Any) -> dict[str, Any]:
    return {
        "billing_event_id": row["billing_event_id"],
        "result": row["result"],
        "document_id": row["document_id"],
        "new_billing_event_id": row["new_billing_event_id"],
        "reasons": row["reasons"] or _reasons_of_fault(row["tried_again_for"]),
        "held_back": row["held_back"],
        "can_be_split": row["can_be_split"],
        "time": None if row["decided_at"] is None else format_instant(row["decided_at"]),
    }


def _reasons_of_fault(fault: str | None) -> list[dict[str, Any]]:
    """Why an event is pending whose chunk is tried again: none where it is merely not decided yet."""
    if fault is None:
        return []
    message = f"A fault of the system's own stands against its release ({fault}); it is tried again."
    return [{"code": "internal_error", "message": message, "detail": {}}]
