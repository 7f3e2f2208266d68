"""The accounting connector's facts: which runs they concern, and their order within a batch."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from billing_runs.handlers.claim_answers import take_claimed, take_unclaimed
from billing_runs.handlers.document_answers import (
    take_cancelled,
    take_refused,
    take_render_failed,
    take_rendered,
    take_validated,
)
from billing_runs.handlers.draft_answers import take_drafted, take_not_passed, take_process_run_completed
from billing_runs.handlers.session import RunSession, open_sessions, save_sessions
from billing_runs.store import executions, run_documents
from billing_runs.views import ENDS
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.message import Message, Origin

Sessions = Mapping[str, RunSession]
Take = Callable[[UnitOfWork, Sessions, Sequence[Message]], Awaitable[None]]

# In this order, whatever the order of the batch: a document is drafted before anything else, and its refusals and files
# are of the draft, but for the files of `_after_the_end`; facts with different keys have no order anyway.
_HANDLERS: Final[Mapping[str, Take]] = {
    "accounting.billing-events.claimed.v1": take_claimed,
    "accounting.document.drafted.v1": take_drafted,
    "accounting.document.rendered.v1": take_rendered,
    "accounting.document.render-failed.v1": take_render_failed,
    "accounting.document.refused.v1": take_refused,
    "accounting.document.validated.v1": take_validated,
    "accounting.document.cancelled.v1": take_cancelled,
    "accounting.billing-event.not-passed.v1": take_not_passed,
    "accounting.process-run.completed.v1": take_process_run_completed,
    "accounting.billing-events.unclaimed.v1": take_unclaimed,
}
HANDLED: Final = frozenset(_HANDLERS)

_DOCUMENT_TYPES: Final = frozenset(
    {
        "accounting.document.rendered.v1",
        "accounting.document.render-failed.v1",
        "accounting.document.refused.v1",
    }
)
_FILE_TYPES: Final = frozenset({"accounting.document.rendered.v1", "accounting.document.render-failed.v1"})
_PROCESS_RUN_TYPES: Final = frozenset(
    {"accounting.billing-event.not-passed.v1", "accounting.process-run.completed.v1"}
)


async def take_accounting_facts(work: UnitOfWork, messages: Sequence[Message]) -> None:
    """Take a batch: locks the runs that it concerns, then their documents. What concerns no run costs nothing."""
    run_ids = {message.body.billing_run_id for message in messages} - {None}
    run_ids |= await _runs_by_document(work, messages)
    run_ids |= await _runs_by_process_run(work, messages)
    if not run_ids:
        return
    sessions = await open_sessions(work, run_ids)
    late = _after_the_end(messages)
    for part in ([message for message in messages if message.origin not in late], list(late.values())):
        for message_type, take in _HANDLERS.items():
            concerned = [message for message in part if message.type == message_type]
            if concerned:
                await take(work, sessions, concerned)
    await save_sessions(sessions)


def _after_the_end(messages: Sequence[Message]) -> dict[Origin, Message]:
    """Facts, by where they stood, of files that were made after their documents had been validated or cancelled."""
    ended: set[str] = set()
    late: dict[Origin, Message] = {}
    for message in messages:
        if message.type in ENDS:
            ended.add(message.body.document_id)
        elif message.type in _FILE_TYPES and message.body.document_id in ended:
            late[message.origin] = message
    return late


async def _runs_by_document(work: UnitOfWork, messages: Sequence[Message]) -> set[str]:
    unnamed = [
        message.body.document_id
        for message in messages
        if message.type in _DOCUMENT_TYPES and message.body.billing_run_id is None
    ]
    if not unnamed:
        return set()
    return set((await run_documents.drafting_runs(work.connection, unnamed)).values())


async def _runs_by_process_run(work: UnitOfWork, messages: Sequence[Message]) -> set[str]:
    unnamed = [
        message.body.process_run_id
        for message in messages
        if message.type in _PROCESS_RUN_TYPES and message.body.billing_run_id is None
    ]
    if not unnamed:
        return set()
    return set((await executions.runs_of_process_runs(work.connection, unnamed)).values())
