"""Commands on `accounting.commands`: decided now, or kept while what they name is not known (contract.md section 1)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from accounting_connector.domain.process_runs import retry_seconds
from accounting_connector.handlers import claims, document_commands, files, process_runs, withdrawal
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.pending import now, tell_pending, tell_recovered
from accounting_connector.store import waiting_commands
from accounting_connector.store.waiting_commands import WaitingCommand
from shared.contracts import commands
from shared.contracts.catalogue import CATALOGUE
from shared.database.faults import Fault, fault_of, is_ours, name_of
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.messaging.message import Message
from shared.set_aside import Picked, fact_id
from shared.telemetry.logs import describe

LOOK_AGAIN_SECONDS: Final = 0.2

HANDLED: Final = frozenset(
    {
        "accounting.process-run.start.v1",
        "accounting.billing-events.claim.v1",
        "accounting.billing-events.unclaim.v1",
        "accounting.billing-events.withdraw.v1",
        "accounting.documents.validate.v1",
        "accounting.documents.cancel.v1",
        "accounting.documents.render.v1",
    }
)


log = structlog.get_logger(__name__)


async def handle_commands(work: UnitOfWork, messages: Sequence[Message], deployment: Deployment) -> None:
    """Decide commands in message order; each is set-based over the up to 1,000 ids that it names.

    The id of a process run with another request is bad input. A command that fails by our own fault is kept and tried
    again, and keeps no other waiting.
    """
    try:
        async with work.part():
            for message in messages:
                await _decide_message(work, deployment, message)
        return
    except Exception as error:
        if not _is_kept(error):
            raise
        log.exception("a command failed, deciding them one by one")
    for message in messages:
        command = _command_of(message)
        try:
            async with work.part():
                await _decide_message(work, deployment, message)
        except Exception as error:
            if not _is_kept(error):
                raise
            await _decide_in_parts(work, deployment, command, message.body, error)


async def work_waiting(work: UnitOfWork, deployment: Deployment, picked: Picked | None = None) -> bool:
    """Look at the waiting command that is due first; False if none is due."""
    picked = picked or Picked([])
    command = await waiting_commands.take(work.connection, only=picked.only)
    if command is None:
        return False
    picked.ids.append(command.message_id)
    body = CATALOGUE[command.type].body_model.model_validate(command.body)
    try:
        async with work.part():
            is_decided = await _decide(work, deployment, body, command.cause, command.waited_seconds)
    except Exception as error:
        # What only this command may have caused is set aside by the step; what has failed before stays here.
        if not _is_kept(error) or (command.failures == 0 and not is_ours(error)):
            raise
        await _decide_in_parts(work, deployment, command, body, error)
        return True
    if not is_decided:
        await waiting_commands.add(work.connection, command, look_again_seconds=LOOK_AGAIN_SECONDS)
    elif command.failing_since is not None:
        tell_recovered(
            work, _kind(command), fact_id(command.message_id), command.failing_since, command.cause
        )
    return True


async def _decide_message(work: UnitOfWork, deployment: Deployment, message: Message) -> None:
    try:
        if await _decide(work, deployment, message.body, message.cause, 0.0):
            return
    except process_runs.OtherRequestError as error:
        work.reject(message, str(error), [{"field": "process_run_id", "message": str(error)}])
        return
    await waiting_commands.add(work.connection, _command_of(message), look_again_seconds=LOOK_AGAIN_SECONDS)


async def _decide_in_parts(
    work: UnitOfWork, deployment: Deployment, command: WaitingCommand, body: Any, error: Exception
) -> None:
    """Decide for each id of a command by itself what failed as a whole; what fails again is kept and tried again."""
    failed = dict[str, Exception]()
    named = _named_by_itself(body)
    ids: list[str] = getattr(body, named) if named is not None else []
    for each in ids if len(ids) > 1 else []:
        part = body.model_copy(update={named: [each]})
        try:
            async with work.part():
                is_decided = await _decide(work, deployment, part, command.cause, command.waited_seconds)
        except Exception as error_of_one:
            if not _is_kept(error_of_one):
                raise
            failed[each] = error_of_one
        else:
            if not is_decided:
                failed[each] = error
    left = body
    if named is not None and len(ids) > 1:
        left = body.model_copy(update={named: list(failed)})
        if not failed:
            if command.failing_since is not None:
                tell_recovered(
                    work, _kind(command), fact_id(command.message_id), command.failing_since, command.cause
                )
            return
    since = command.failing_since or now()
    kept = replace(
        command,
        body=left.model_dump(mode="json", by_alias=True),
        failures=command.failures + 1,
        failing_since=since,
    )
    log.error(
        "command failed by a fault of ours, to be tried again",
        message_id=command.message_id,
        **describe(error),
    )
    await waiting_commands.add(work.connection, kept, look_again_seconds=retry_seconds(kept.failures))
    if command.failing_since is None:
        tell_pending(
            work, _kind(command), fact_id(command.message_id), f"{command.type}: {name_of(error)}", since
        )


def _named_by_itself(body: Any) -> str | None:
    """The field of the ids that a command names, if each of them is decided by itself."""
    match body:
        case commands.DocumentsCommand():
            return "document_ids"
        case commands.ClaimBillingEvents() | commands.UnclaimBillingEvents():
            return "billing_event_ids"
        case _:
            return None


def _is_kept(error: Exception) -> bool:
    """Whether a command that met this error is tried again here: a fault of ours that others need not meet."""
    return fault_of(error) in {Fault.OURS, Fault.DOUBTFUL}


def _kind(command: WaitingCommand) -> str:
    return "withdrawal" if command.type == "accounting.billing-events.withdraw.v1" else "command"


def _command_of(message: Message) -> WaitingCommand:
    body = message.body.model_dump(mode="json", by_alias=True)
    return WaitingCommand(message.identity, message.type, body, message.cause, 0.0)


async def _decide(
    work: UnitOfWork, deployment: Deployment, body: Any, cause: Cause, waited_seconds: float
) -> bool:
    """Whether the command was decided; False if it is to wait."""
    match body:
        case commands.StartProcessRun():
            run = process_runs.run_asked_for(
                body.process_run_id,
                body,
                starter=claims.starter_of(body),
                cause=cause,
                unknown_wait_seconds=deployment.command_wait_seconds,
            )
            await process_runs.start_or_tell_again(work, run)
            return True
        case commands.DocumentsCommand():
            return await _decide_documents(work, deployment, body, cause, waited_seconds)
        case commands.ClaimBillingEvents():
            return await claims.claim(work, deployment, body, cause, waited_seconds)
        case commands.UnclaimBillingEvents():
            return await claims.unclaim(work, deployment, body, cause, waited_seconds)
        case commands.WithdrawBillingEvents():
            return await withdrawal.withdraw(work, deployment, body, cause, waited_seconds)
        case _:
            raise TypeError(f"{type(body).__name__} is not a command of this service")


async def _decide_documents(
    work: UnitOfWork,
    deployment: Deployment,
    body: commands.DocumentsCommand,
    cause: Cause,
    waited_seconds: float,
) -> bool:
    match body:
        case commands.ValidateDocuments():
            return await document_commands.validate(work, deployment, body, cause, waited_seconds)
        case commands.CancelDocuments():
            return await document_commands.cancel(work, deployment, body, cause, waited_seconds)
        case commands.RenderDocuments():
            return await files.ask_for_files(work, deployment, body, cause, waited_seconds)
        case _:
            raise TypeError(f"{type(body).__name__} is not a command of this service")
