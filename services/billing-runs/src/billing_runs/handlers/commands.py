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
from billing_runs.store import run_documents, runs, waiting_commands
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.message import Message, decode
from shared.set_aside import Picked

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
WAITING_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Commands:
    """Takes commands one after the other: a run's come in order, and there are few of them."""

    time_zone: tzinfo
    wait_seconds: float
    four_eyes: bool = False

    async def take(self, work: UnitOfWork, messages: Sequence[Message]) -> None:
        """Do what the commands of a batch ask. One for a run, or for documents, not known yet waits for them."""
        known = await runs.known_run_ids(work.connection, [message.body.run_id for message in messages])
        created: set[str] = set()
        for message in messages:
            run_id = message.body.run_id
            if message.type == CREATE:
                await self._create(work, message)
                created.add(run_id)
            elif (run_id in known or run_id in created) and await self._knows_documents(work, message):
                await self._act(work, message)
            else:
                await waiting_commands.insert_waiting(
                    work.connection, message.identity, run_id, message.record, wait_seconds=self.wait_seconds
                )

    async def take_waiting(self, work: UnitOfWork, run_id: str) -> None:
        """Do what was asked of a run before it was created."""
        await self._do_waiting(work, await waiting_commands.look_at_waiting_for(work.connection, run_id))

    async def _do_waiting(self, work: UnitOfWork, records: Sequence[Any]) -> None:
        done = []
        for message in decode(records, HANDLED).messages:
            if await self._knows_documents(work, message):
                await self._act(work, message)
                done.append(message.origin)
        await waiting_commands.remove_waiting(work.connection, done)

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
                four_eyes=self.four_eyes,
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
            results = await review_documents(
                work, body.run_id, body, starter=starter_of(body), cause=cause, four_eyes=self.four_eyes
            )
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
            invoice_date=getattr(body, "invoice_date", None),
        )
        outcome = await act_on_run(work, body.run_id, request, cause, four_eyes=self.four_eyes)
        if isinstance(outcome, RefusalCode):
            refuse(work, message, outcome.value)

    @staticmethod
    async def _knows_documents(work: UnitOfWork, message: Message) -> bool:
        """Whether every document that a review names is known: a run's draft may be told of before it is read here."""
        if message.type != REVIEW or message.body.select.document_ids is None:
            return True
        named = set(message.body.select.document_ids)
        return named == (await run_documents.drafting_runs(work.connection, list(named))).keys()

    async def look_again(self, work: UnitOfWork, picked: Picked | None = None) -> bool:
        """Do what has waited for what has come, and refuse what has waited too long; whether there may be more.

        It is picked by run, since the commands of a run keep their order.
        """
        picked = picked or Picked([])
        waiting = await waiting_commands.look_at_waiting(work.connection, limit=WAITING_MAX, only=picked.only)
        picked.ids += [message.body.run_id for message in decode(waiting, HANDLED).messages]
        await self._do_waiting(work, waiting)
        return await self._expire(work, picked)

    async def _expire(self, work: UnitOfWork, picked: Picked) -> bool:
        expired = await waiting_commands.take_expired(work.connection, limit=WAITING_MAX, only=picked.only)
        messages = decode(expired, HANDLED).messages
        picked.ids += [message.body.run_id for message in messages]
        known = await runs.known_run_ids(work.connection, [message.body.run_id for message in messages])
        for message in messages:
            if message.body.run_id in known:  # it says itself which documents there are not
                await self._act(work, message)
            else:
                refuse(work, message, NOT_FOUND)
        return len(expired) == WAITING_MAX


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
