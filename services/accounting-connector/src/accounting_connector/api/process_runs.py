"""Process runs: started, validated beforehand, looked at."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from accounting_connector.api.answers import (
    LogResult,
    ProcessLogEntry,
    ProcessRunAnswer,
    ProcessRunKind,
    ProcessRunStarted,
    SelectionValidated,
    json_response,
)
from accounting_connector.domain.eligibility import not_permitted
from accounting_connector.domain.reasons import Reason
from accounting_connector.facts import format_instant, process_run_body
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.eligibility import validate_selection
from accounting_connector.handlers.numbering import DateRefusedError, check_asked_date
from accounting_connector.handlers.pending import give_up, run_of_errors
from accounting_connector.handlers.process_runs import run_asked_for, start_run
from accounting_connector.store import process_run_events, process_runs
from accounting_connector.store.process_runs import ProcessRun
from accounting_connector.store.reason_bodies import reason_bodies
from shared.contracts.accounting_facts import ProcessRunStatus
from shared.contracts.base import MESSAGE_IDS_MAX, Closed, DocumentDate, Id, UserId
from shared.contracts.requests import ProcessRunRequest
from shared.contracts.selections import RequestProcessRunSelect
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.http.application import LARGE_BODY_BYTES_MAX
from shared.http.authorization import require
from shared.http.idempotency import Answer, answer_once
from shared.http.pages import Page, PageRequest, page_response, pages_by
from shared.http.problems import FieldError, Problem, not_found
from shared.http.tokens import Principal
from shared.ids import new_id


class ValidateRequest(Closed):
    """The body of `POST /process-runs/validate`."""

    select: RequestProcessRunSelect
    waive_released: bool = False
    invoice_date: DocumentDate | None = None


class EventsOfRun(Closed):
    """The body of `give-up` and `retry`: which events of the run, null for all that it concerns."""

    billing_event_ids: Annotated[list[Id], Field(min_length=1, max_length=MESSAGE_IDS_MAX)] | None = None


def process_runs_router(database: Database, deployment: Deployment, public_url: str) -> APIRouter:
    """The calls about process runs."""
    router = APIRouter(tags=["process runs"])
    reads = [require("documents:read")]

    @router.post(
        "/process-runs",
        status_code=202,
        response_model=ProcessRunStarted,
        max_body_size=LARGE_BODY_BYTES_MAX,
    )
    async def start(
        request: Request, body: ProcessRunRequest, principal: Annotated[Principal, require("documents:write")]
    ) -> Response:
        """Make documents of the selected billing events, in the background."""

        async def act(work: UnitOfWork) -> Answer:
            process_run_id = new_id()
            run = run_asked_for(
                process_run_id,
                body,
                starter={"user_id": principal.user_id, "email": principal.email},
                cause=Cause.begun_here(process_run_id),
                unknown_wait_seconds=deployment.lag_seconds,
                permitted_projects=principal.projects,
            )
            await start_run(work, run)
            warnings = await _date_warnings(work, deployment, run)
            body_of_run = process_run_body(run)
            links = _links(public_url, process_run_id)
            return Answer(202, {**body_of_run, "date_warnings": reason_bodies(warnings), "links": links})

        return await answer_once(database, request, principal, act)

    @router.post(
        "/process-runs/validate",
        response_model=SelectionValidated,
        max_body_size=LARGE_BODY_BYTES_MAX,
    )
    async def validate(
        body: ValidateRequest, principal: Annotated[Principal, require("documents:read")]
    ) -> Response:
        """What would not be passed, and why; nothing is done."""
        selection = body.select.model_dump(mode="json", exclude_none=True)
        return json_response(
            await validate_selection(
                database.pool,
                deployment,
                selection,
                waive_released=body.waive_released,
                invoice_date=body.invoice_date,
                permitted_projects=principal.projects,
            )
        )

    _add_ends(router, database, public_url, deployment.terms.support_contact)

    @router.get("/process-runs", response_model=Page[ProcessRunAnswer], dependencies=reads)
    async def list_runs(
        page: Annotated[PageRequest, pages_by(datetime, str)],
        status: Annotated[ProcessRunStatus | None, Query()] = None,
        kind: Annotated[ProcessRunKind | None, Query()] = None,
        starter: Annotated[UserId | None, Query()] = None,
    ) -> Response:
        """Process runs, newest first."""
        after: Any = page.after
        rows = await process_runs.list_runs(
            database.pool, status=status, kind=kind, starter=starter, after=after, limit=page.limit + 1
        )
        rows, cursor = page.cut(rows, lambda row: (row["created_at"], row["process_run_id"]))
        return json_response(page_response([_run_answer(row, public_url) for row in rows], cursor))

    @router.get("/process-runs/{process_run_id}", response_model=ProcessRunAnswer, dependencies=reads)
    async def get_run(process_run_id: Annotated[Id, Path()]) -> Response:
        """One process run and how far it is."""
        row = await process_runs.load_run(database.pool, process_run_id)
        if row is None:
            raise not_found()
        return json_response(_run_answer(row, public_url))

    @router.get(
        "/process-runs/{process_run_id}/log", response_model=Page[ProcessLogEntry], dependencies=reads
    )
    async def get_log(
        process_run_id: Annotated[Id, Path()],
        page: Annotated[PageRequest, pages_by(int)],
        result: Annotated[LogResult | None, Query()] = None,
    ) -> Response:
        """What became of each event, in the order of the run."""
        if await process_runs.load_run(database.pool, process_run_id) is None:
            raise not_found()
        after: Any = page.after[0] if page.after else None
        rows = await process_run_events.read_log(
            database.pool, process_run_id, result=result, after=after, limit=page.limit + 1
        )
        rows, cursor = page.cut(rows, lambda row: (row["place"],))
        return json_response(page_response([_log_entry(row) for row in rows], cursor))

    return router


def _add_ends(router: APIRouter, database: Database, public_url: str, support_contact: str) -> None:
    """The calls about what a run could not pass: what is pending is ended, what is an error tried once more."""

    @router.post("/process-runs/{process_run_id}/give-up", response_model=ProcessRunAnswer)
    async def give_up_pending(
        request: Request,
        process_run_id: Annotated[Id, Path()],
        body: EventsOfRun,
        principal: Annotated[Principal, require("documents:write")],
    ) -> Response:
        """End what is pending of a run, all or these events: errors from now on, and not tried again."""

        async def act(work: UnitOfWork) -> Answer:
            run = await process_runs.lock_run(work.connection, process_run_id)
            if run is None:
                raise not_found()
            await _check_projects(work, process_run_id, body, principal, support_contact)
            await give_up(work, run, body.billing_event_ids, by=principal.user_id)
            row = await process_runs.load_run(work.connection, process_run_id)
            return Answer(200, _run_answer(row, public_url))

        return await answer_once(database, request, principal, act)

    @router.post("/process-runs/{process_run_id}/retry", status_code=202, response_model=ProcessRunStarted)
    async def retry(
        request: Request,
        process_run_id: Annotated[Id, Path()],
        body: EventsOfRun,
        principal: Annotated[Principal, require("documents:write")],
    ) -> Response:
        """Try a run's errors once more, all or these events, as a new run on the same terms."""

        async def act(work: UnitOfWork) -> Answer:
            run = await process_runs.lock_run(work.connection, process_run_id)
            if run is None:
                raise not_found()
            if run.billing_run_id is not None:
                raise Problem(409, "action_not_available", "A billing run tries again by itself: process it")
            new_run_id = new_id()
            again = run_of_errors(
                run,
                new_run_id,
                starter={"user_id": principal.user_id, "email": principal.email},
                cause=Cause.begun_here(new_run_id),
                permitted_projects=principal.projects,
            )
            await start_run(work, again)
            if not await process_run_events.freeze_errors(
                work.connection, new_run_id, process_run_id, body.billing_event_ids
            ):
                raise Problem(409, "action_not_available", "None of these events is an error of the run")
            return Answer(202, {**process_run_body(again), "links": _links(public_url, new_run_id)})

        return await answer_once(database, request, principal, act)


async def _date_warnings(work: UnitOfWork, deployment: Deployment, run: ProcessRun) -> tuple[Reason, ...]:
    """What to look at in the date that is asked for. Raises Problem where no document could have it."""
    if run.invoice_date is None:
        return ()
    companies = await process_run_events.company_ids(work.connection, run.process_run_id)
    try:
        return await check_asked_date(work.connection, companies, run.invoice_date, today=deployment.today())
    except DateRefusedError as refusal:
        raise Problem(
            422,
            refusal.reasons[0].code,
            "No document can have this date",
            detail=str(refusal),
            errors=[FieldError("invoice_date", reason.message) for reason in refusal.reasons],
            members={"reasons": reason_bodies(refusal.reasons)},
        ) from None


async def _check_projects(
    work: UnitOfWork, process_run_id: str, asked: EventsOfRun, principal: Principal, support_contact: str
) -> None:
    """Raises Problem 409 `not_permitted` where what is pending is of a project that the token does not list."""
    if principal.projects is None:
        return
    beside = await process_run_events.pending_project_beside(
        work.connection, process_run_id, asked.billing_event_ids, principal.projects
    )
    if beside is not None:
        reason = not_permitted("give up", beside, support_contact)
        members = {"reasons": reason_bodies([reason])}
        raise Problem(409, reason.code, "You may not give this up", detail=reason.message, members=members)


def _run_answer(row: Any, public_url: str) -> dict[str, Any]:
    return {
        **process_run_body(process_runs.run_of(row)),
        "selection": row["selection"],
        "created_at": format_instant(row["created_at"]),
        "ended_at": None if row["ended_at"] is None else format_instant(row["ended_at"]),
        "total": row["total"],
        "pending": row["pending"],
        "links": _links(public_url, row["process_run_id"]),
    }


def _links(public_url: str, process_run_id: str) -> dict[str, str]:
    return {
        "log": f"/process-runs/{process_run_id}/log",
        "page": f"{public_url}/pages/process-runs/{process_run_id}",
    }


def _log_entry(row: Any) -> dict[str, Any]:
    return {
        "billing_event_id": row["billing_event_id"],
        "result": row["result"],
        "document_id": row["document_id"],
        "reasons": row["reasons"],
        "time": None if row["decided_at"] is None else format_instant(row["decided_at"]),
    }
