"""What the connector answers about claims: given, refused, let go."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from billing_runs.domain.books import Fate
from billing_runs.domain.executions import Step
from billing_runs.facts import reason_bodies
from billing_runs.handlers.session import RunSession, in_words, is_answered, warning
from billing_runs.store import run_events
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.message import Message


async def take_claimed(
    work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message]
) -> None:
    """The run holds the events that were claimed, and lists the refused ones; both count as answers.

    Counted are the events that were waiting: however the answer was divided, and however often it comes.
    """
    claimed: dict[str, list[str]] = defaultdict(list)
    refused: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    for message in messages:
        body = message.body
        claimed[body.billing_run_id] += body.claimed
        refused[body.billing_run_id].update(
            {each.billing_event_id: reason_bodies(each.reasons) for each in body.refused}
        )
    for run_id, session in sessions.items():
        if run_id not in claimed:
            continue
        given = await run_events.mark_claimed(work.connection, run_id, claimed[run_id])
        left_out = await run_events.mark_refused(work.connection, run_id, refused[run_id])
        lines = [warning(in_words(refused[run_id][each]), each) for each in sorted(left_out)]
        if session.is_running and session.execution.step is Step.INVOICE_LINES:
            answered = given + len(left_out)
            session.update(answered=session.execution.answered + answered)
            session.progress(done=answered, lines=lines)
        _wake_if_answered(session)


async def take_unclaimed(
    work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message]
) -> None:
    """The events are free again, or closed; those that another fact has settled stay as they are.

    What the connector does not hold for the run is not the run's: it was never claimed, or its claim has ended.
    """
    for message in messages:
        body = message.body
        session = sessions.get(body.billing_run_id)
        if session is None:
            continue
        fate = Fate.CANCELLED if body.billing_events == "cancel" else Fate.REOPENED
        settled = await run_events.mark_unclaimed(work.connection, body.billing_run_id, body.unclaimed, fate)
        refused = {each.billing_event_id: reason_bodies(each.reasons) for each in body.refused}
        settled += await run_events.mark_not_held(work.connection, body.billing_run_id, refused)
        if session.is_running and session.execution.step is Step.CANCELLATION:
            lines = [warning(in_words(reasons), event_id) for event_id, reasons in refused.items()]
            session.progress(done=settled, lines=lines)
        _wake_if_answered(session)


def _wake_if_answered(session: RunSession) -> None:
    if session.is_running and is_answered(session.execution):
        session.wake()
