"""The commands of `billing-runs.commands`, by the same use cases as the HTTP calls (contract.md section 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Final

from billing_runs import facts
from billing_runs.domain.lifecycle import Action
from billing_runs.domain.refusals import RefusalCode
from billing_runs.handlers.actions import ActionRequest, act_on_run
from billing_runs.handlers.creation import RunExistsError, SettingsError, create_run
from billing_runs.handlers.review import review_documents
from billing_runs.store import runs, waiting_commands
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.message import Message, decode

NOT_FOUND: Final = "not_found"
CREATE: Final = "billing-runs.run.create.v1"
REVIEW: Final = "billing-runs.documents.review.v1"
ACTIONS: Final[Mapping[str, Action]] = {
    "billing-runs.run.process.v1": Action.PROCESS,
    "billing-runs.run.close.v1": Action.CLOSE,
    "billing-runs.run.enable.v1": Action.ENABLE,
    "billing-runs.run.disable.v1": Action.DISABLE,
    "billing-runs.run.render.v1": Action.RENDER,
    "billing-runs.run.cancel.v1": Action.CANCEL,
    "billing-runs.run.describe.v1": Action.DESCRIBE,
}
HANDLED: Final = frozenset({CREATE, REVIEW, *ACTIONS})
EXPIRED_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Commands:
    """Takes commands one after the other: a run's come in order, and there are few of them."""

    time_zone: tzinfo
    wait_seconds: float

    async def take(self, work: UnitOfWork, messages: Sequence[Message]) -> None:
        """Do what the commands of a batch ask. One for a run that is not known waits for it."""
        known = await runs.known_run_ids(work.connection, [message.body.run_id for message in messages])
        created: set[str] = set()
        for message in messages:
            run_id = message.body.run_id
            if message.type == CREATE:
                await self._create(work, message)
                created.add(run_id)
            elif run_id in known or run_id in created:
                await self._act(work, message)
            else:
                await waiting_commands.insert_waiting(
                    work.connection, message.id, run_id, message.record, wait_seconds=self.wait_seconds
                )

    async def take_waiting(self, work: UnitOfWork, run_id: str) -> None:
        """Do what was asked of a run before it was created."""
        for record in await waiting_commands.take_waiting(work.connection, run_id):
            for message in decode([record], HANDLED).messages:
                await self._act(work, message)

    async def _create(self, work: UnitOfWork, message: Message) -> None:
        body = message.body
        try:
            await create_run(
                work,
                body.run_id,
                body,
                body.scope.model_dump(mode="json", exclude_none=True),
                starter=starter_of(body),
                cause=message.cause,
                time_zone=self.time_zone,
            )
        except SettingsError as error:
            work.reject(
                message,
                f"not a billing run: {error}",
                [{"field": each.field, "message": each.message} for each in error.problems],
            )
        except RunExistsError:
            refuse(work, message, "already_exists")
        else:
            await self.take_waiting(work, body.run_id)

    async def _act(self, work: UnitOfWork, message: Message) -> None:
        body, cause = message.body, message.cause
        if message.type == REVIEW:
            results = await review_documents(work, body.run_id, body, starter=starter_of(body), cause=cause)
            for result in results or ():
                if result.code is not None:
                    refuse(work, message, result.code, document_id=result.document_id)
            return
        request = ActionRequest(
            action=ACTIONS[message.type],
            starter=starter_of(body),
            file_format=getattr(body, "format", None),
            closes_events=getattr(body, "billing_events", None) == "cancel",
            description=getattr(body, "description", None),
        )
        outcome = await act_on_run(work, body.run_id, request, cause)
        if isinstance(outcome, RefusalCode):
            refuse(work, message, outcome.value)

    async def expire(self, work: UnitOfWork) -> bool:
        """Refuse commands whose run has not come in time; whether there may be more."""
        expired = await waiting_commands.take_expired(work.connection, limit=EXPIRED_MAX)
        for message in decode(expired, HANDLED).messages:
            refuse(work, message, NOT_FOUND)
        return len(expired) == EXPIRED_MAX


def refuse(work: UnitOfWork, message: Message, code: str, *, document_id: str | None = None) -> None:
    """Tell that a command was refused, or of a review that one document refused it."""
    body = facts.refused_body(
        message.body.run_id,
        action_of(message.type),
        code,
        document_id=document_id,
        starter=starter_of(message.body),
    )
    work.publish(facts.RUN_REFUSED, message.body.run_id, body, message.cause)


def action_of(message_type: str) -> str:
    """What a command asks for, in the word of the actions bar: `process`, `create`, `review`, …"""
    return message_type.split(".")[-2]


def starter_of(body: Any) -> dict[str, Any] | None:
    """Who asks, as facts tell it."""
    requester = body.requested_by
    return {"user_id": requester.user_id, "email": requester.email} if requester is not None else None
