"""Runs over HTTP: create, list, look at, and every action of the actions bar (contract.md section 2)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from billing_runs.api.reading import problem_of, read_run, starter_of_principal, unknown_run
from billing_runs.api.shapes import run_shape
from billing_runs.domain.approval import course, leads_to_numbers
from billing_runs.domain.lifecycle import Action
from billing_runs.domain.refusals import RefusalCode
from billing_runs.facts import REFUSALS
from billing_runs.handlers.actions import ActionRequest, act_on_run
from billing_runs.handlers.commands import Commands
from billing_runs.handlers.creation import RunExistsError, SettingsError, create_run
from billing_runs.handlers.permission import event_not_permitted
from billing_runs.store import executions, runs
from billing_runs.store.connection import Reader
from billing_runs.store.runs import StoredRun
from shared.contracts.base import Id
from shared.contracts.billing_runs_facts import RunStatus
from shared.contracts.command_fields import (
    CancelFields,
    DescriptionFields,
    ProcessFields,
    RenderFields,
    RunKind,
)
from shared.contracts.requests import BillingRunRequest
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.http.application import LARGE_BODY_BYTES_MAX
from shared.http.authorization import check_scope, require
from shared.http.idempotency import Answer, answer_once
from shared.http.pages import PageRequest, page_response, pages_by
from shared.http.problems import FieldError, Problem, validation_failed
from shared.http.tokens import Principal
from shared.ids import new_id

Reads = Annotated[Principal, require("billing-runs:read")]
Writes = Annotated[Principal, require("billing-runs:write")]
APPROVE: Final = "billing-runs:approve"

_STARTING: Final = frozenset({Action.PROCESS, Action.CLOSE, Action.ENABLE})
"""What may let the next step start, and so, in a run that releases first, release events."""


def runs_router(database: Database, commands: Commands, support_contact: str) -> APIRouter:
    """The calls on whole runs, on the terms of the commands. `support_contact`: whom to ask for rights."""
    router = APIRouter(prefix="/billing-runs", tags=["billing runs"])
    actions = _Actions(database, commands.four_eyes, support_contact)

    @router.post("", status_code=201, summary="Create a billing run", max_body_size=LARGE_BODY_BYTES_MAX)
    async def create(request: Request, principal: Writes, body: BillingRunRequest) -> Response:
        """One that is full_automatic numbers documents by itself: it needs the scope `billing-runs:approve` too."""
        if body.process_type == "full_automatic":
            check_scope(principal, APPROVE)
        run_id = body.run_id or new_id()
        starter = starter_of_principal(principal)

        async def action(work: UnitOfWork) -> Answer:
            if body.release_first:
                _check_permitted_to_release(principal)
            try:
                run = await create_run(
                    work,
                    run_id,
                    body,
                    body.scope.model_dump(mode="json", exclude_none=True),
                    starter=starter,
                    cause=Cause.begun_here(run_id),
                    four_eyes=commands.four_eyes,
                )
            except SettingsError as error:
                raise validation_failed(
                    [FieldError(each.field, each.message) for each in error.problems]
                ) from None
            except RunExistsError:
                raise Problem(409, "already_exists", REFUSALS["already_exists"]) from None
            await _check_projects(work.connection, run, principal, support_contact)
            await commands.take_waiting(work, run_id)
            return Answer(201, await _shape_now(work, run_id), {"Location": f"/billing-runs/{run_id}"})

        return await answer_once(database, request, principal, action)

    @router.get("", summary="Billing runs, the latest first")
    async def list_all(
        principal: Reads,
        page: Annotated[PageRequest, pages_by(datetime, str)],
        status: Annotated[RunStatus | None, Query()] = None,
        kind: Annotated[RunKind | None, Query()] = None,
    ) -> dict[str, Any]:
        after: Any = page.after
        found = await runs.list_runs(
            database.pool, status=status, kind=kind, after=after, limit=page.limit + 1
        )
        shown, cursor = page.cut(found, lambda run: (run.created_at, run.run_id))
        shapes = [run_shape(run, await executions.executions_of(database.pool, run.run_id)) for run in shown]
        return page_response(shapes, cursor)

    @router.get("/{run_id}", summary="A billing run")
    async def details(principal: Reads, run_id: Id) -> dict[str, Any]:
        run = await read_run(database.pool, run_id)
        return run_shape(run, await executions.executions_of(database.pool, run_id))

    @router.patch("/{run_id}", summary="Save the description")
    async def describe(request: Request, principal: Writes, run_id: Id, body: DescriptionFields) -> Response:
        asked = ActionRequest(Action.DESCRIBE, starter_of_principal(principal), description=body.description)
        return await actions.do(request, principal, run_id, asked, status=200)

    @router.post("/{run_id}/cancel", status_code=202, summary="Cancel what is not validated")
    async def cancel(request: Request, principal: Writes, run_id: Id, body: CancelFields) -> Response:
        closes = body.billing_events == "cancel"
        asked = ActionRequest(Action.CANCEL, starter_of_principal(principal), closes_events=closes)
        return await actions.do(request, principal, run_id, asked, status=202)

    @router.post("/{run_id}/render", status_code=202, summary="Make the files of all documents")
    async def render(request: Request, principal: Writes, run_id: Id, body: RenderFields) -> Response:
        asked = ActionRequest(Action.RENDER, starter_of_principal(principal), file_format=body.format)
        return await actions.do(request, principal, run_id, asked, status=202)

    _add_plain_actions(router, actions)
    return router


def _add_plain_actions(router: APIRouter, actions: "_Actions") -> None:
    """The actions that take nothing but the run."""

    @router.post("/{run_id}/process", status_code=202, summary="Do the next step")
    async def process(
        request: Request, principal: Writes, run_id: Id, body: ProcessFields | None = None
    ) -> Response:
        """What leads to numbers needs the scope `billing-runs:approve` too, and takes an invoice date."""
        day = None if body is None else body.invoice_date
        asked = ActionRequest(
            Action.PROCESS,
            starter_of_principal(principal),
            permitted_projects=principal.projects,
            invoice_date=day,
        )
        return await actions.do(request, principal, run_id, asked, status=202)

    @router.post("/{run_id}/close", summary="Take no more lines into an incremental run")
    async def close(request: Request, principal: Writes, run_id: Id) -> Response:
        asked = ActionRequest(Action.CLOSE, starter_of_principal(principal))
        return await actions.do(request, principal, run_id, asked, status=200)

    @router.post("/{run_id}/enable", summary="Let steps start again")
    async def enable(request: Request, principal: Writes, run_id: Id) -> Response:
        asked = ActionRequest(Action.ENABLE, starter_of_principal(principal))
        return await actions.do(request, principal, run_id, asked, status=200)

    @router.post("/{run_id}/disable", summary="Let no step start")
    async def disable(request: Request, principal: Writes, run_id: Id) -> Response:
        asked = ActionRequest(Action.DISABLE, starter_of_principal(principal))
        return await actions.do(request, principal, run_id, asked, status=200)


def _check_permitted_to_release(principal: Principal) -> None:
    """Raises Problem 409 `not_permitted` for a token of some projects: what a run releases may be of any."""
    if principal.projects is not None:
        raise Problem(
            409,
            "not_permitted",
            "The token permits the release of some projects only",
            detail="A run that releases first may release events of any project.",
        )


async def _check_projects(
    connection: Reader, run: StoredRun, principal: Principal, support_contact: str
) -> None:
    """Raises Problem 409 `not_permitted` where the run has, or would take, events of projects not in the token."""
    if principal.projects is None:
        return
    beside = await event_not_permitted(connection, run, principal.projects)
    if beside is not None:
        raise Problem(
            409,
            RefusalCode.NOT_PERMITTED,
            REFUSALS[RefusalCode.NOT_PERMITTED],
            detail=f"Billing event {beside} is of none of your projects; ask {support_contact}.",
        )


@dataclass(frozen=True, slots=True)
class _Actions:
    """What a user does with a whole run, once the token has been asked."""

    database: Database
    four_eyes: bool
    support_contact: str

    async def do(
        self,
        request: Request,
        principal: Principal,
        run_id: str,
        asked: ActionRequest,
        *,
        status: Literal[200, 202],
    ) -> Response:
        """The answer with the run after the action. Raises Problem 403, 404 or 409."""

        async def action(work: UnitOfWork) -> Answer:
            await self._check_rights(work, principal, run_id, asked.action)
            outcome = await act_on_run(
                work, run_id, asked, Cause.begun_here(new_id()), four_eyes=self.four_eyes
            )
            if outcome is None:
                raise unknown_run()
            if isinstance(outcome, RefusalCode):
                raise problem_of(outcome)
            return Answer(status, await _shape_now(work, run_id))

        return await answer_once(self.database, request, principal, action)

    async def _check_rights(
        self, work: UnitOfWork, principal: Principal, run_id: str, action: Action
    ) -> None:
        """Locks the run: what the action leads to must not change before it is done."""
        run = (await runs.lock_runs(work.connection, [run_id])).get(run_id)
        if run is None:
            raise unknown_run()
        process_type = course(run.settings.process_type, four_eyes=self.four_eyes)
        if leads_to_numbers(run.state, action, process_type):
            check_scope(principal, APPROVE)
        if action in _STARTING and run.settings.release_first:
            _check_permitted_to_release(principal)
        await _check_projects(work.connection, run, principal, self.support_contact)


async def _shape_now(work: UnitOfWork, run_id: str) -> dict[str, Any]:
    run = await read_run(work.connection, run_id)
    return run_shape(run, await executions.executions_of(work.connection, run_id))
