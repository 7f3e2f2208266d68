"""Commands on `accounting.commands`: decided now, or kept while what they name is not known (contract.md section 1)."""

from collections.abc import Sequence
from typing import Any, Final

from accounting_connector.handlers import claims, document_commands, files, process_runs, withdrawal
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.store import waiting_commands
from accounting_connector.store.waiting_commands import WaitingCommand
from shared.contracts import commands
from shared.contracts.catalogue import CATALOGUE
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.messaging.message import Message
from shared.set_aside import Picked

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


async def handle_commands(work: UnitOfWork, messages: Sequence[Message], deployment: Deployment) -> None:
    """Decide commands in message order; each is set-based over the up to 1,000 ids that it names.

    The id of a process run with another request is bad input.
    """
    for message in messages:
        try:
            if await _decide(work, deployment, message.body, message.cause, 0.0):
                continue
        except process_runs.OtherRequestError as error:
            work.reject(message, str(error), [{"field": "process_run_id", "message": str(error)}])
            continue
        body = message.body.model_dump(mode="json", by_alias=True)
        command = WaitingCommand(message.identity, message.type, body, message.cause, 0.0)
        await waiting_commands.add(work.connection, command, look_again_seconds=LOOK_AGAIN_SECONDS)


async def work_waiting(work: UnitOfWork, deployment: Deployment, picked: Picked | None = None) -> bool:
    """Look at the waiting command that is due first; False if none is due."""
    picked = picked or Picked([])
    command = await waiting_commands.take(work.connection, only=picked.only)
    if command is None:
        return False
    picked.ids.append(command.message_id)
    body = CATALOGUE[command.type].body_model.model_validate(command.body)
    if not await _decide(work, deployment, body, command.cause, command.waited_seconds):
        await waiting_commands.add(work.connection, command, look_again_seconds=LOOK_AGAIN_SECONDS)
    return True


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
