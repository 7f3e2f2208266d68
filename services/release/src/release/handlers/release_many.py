"""The one path by which billing events are released: quick actions, commands and chunks of jobs (domain.md section 2).

Whoever comes here holds the locks of `release_state.lock_state`. What is decided of many events is written with a
handful of statements, and published in the order of the decisions.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from release.domain.billed import Billing
from release.domain.billed_once import GUARD_CODES
from release.domain.completion import missing_fields
from release.domain.events import BillingEventItem, billed_records
from release.domain.explanation import decision_document
from release.domain.reasons import not_found
from release.domain.release import Outcome, Refused, Released, Split, bill, decide_release
from release.domain.settings import ReleaseRequest, ReleaseSettings
from release.domain.stages import Stage
from release.facts import billing_event_body, reason_bodies
from release.handlers.publishing import publish_billing_event, publish_refused
from release.handlers.release_state import ReleaseState, decide_with_ids
from release.release_facts import (
    billed_body,
    crossing_body,
    preview_body,
    released_body,
    result_body,
    split_bodies,
)
from release.store import billed, caps, event_changes, history, ledger
from release.store.events import StoredEvent
from release.store.history import HistoryEntry
from release.store.ledger import LedgerRow
from shared.database.unit_of_work import NO_CAUSE, Cause, MessageTooLargeError, UnitOfWork
from shared.telemetry.metrics import count_release_decision

Decision = TypeVar("Decision")


@dataclass(slots=True)
class Ask:
    """One wish to release an event: by whom, how, and what the facts are to name.

    `is_published` is false for a call over HTTP, whose refusal is its answer: it is kept, but no fact.
    """

    billing_event_id: str
    request: ReleaseRequest
    starter: Mapping[str, Any] | None = None
    cause: Cause = NO_CAUSE
    and_invoice: bool = False
    is_published: bool = True


@dataclass(slots=True)
class Decided:
    """What was decided of a wish."""

    ask: Ask
    outcome: Outcome


def decide_each(state: ReleaseState, asks: Iterable[Ask], settings: ReleaseSettings) -> list[Decided]:
    """Decide wishes by themselves, in their order, each against what the earlier ones left of the caps and billed."""
    running_billed = state.billed.copy()
    running_caps, running_events, running_ids = dict(state.caps), state.billing_events, set(state.taken_ids)
    decided = []
    for ask in asks:
        event = running_events.get(ask.billing_event_id)
        if event is None:
            decided.append(Decided(ask, Refused(ask.billing_event_id, (not_found(ask.billing_event_id),))))
            continue
        outcome = decide_release(
            event,
            running_caps.get(event.project_id),
            ask.request,
            settings,
            billed=running_billed,
            record_versions=state.record_versions,
            taken_ids=running_ids,
        )
        decided.append(Decided(ask, outcome))
        if isinstance(outcome, Refused):
            continue
        running_caps[event.project_id] = outcome.cap
        bill(running_billed, outcome)
        running_events[ask.billing_event_id] = outcome.event
        if isinstance(outcome, Split):
            running_ids.add(outcome.new_event.billing_event_id)
    return decided


@dataclass(slots=True)
class _Writing:
    """What the decisions of one transaction come to, until it is written."""

    work: UnitOfWork
    released_at: datetime
    stored: dict[str, StoredEvent]
    changed_ids: dict[str, None] = field(default_factory=dict)
    new_events: list[StoredEvent] = field(default_factory=list)
    removed_items: list[tuple[str, str]] = field(default_factory=list)
    added_items: list[tuple[str, BillingEventItem]] = field(default_factory=list)
    billings: list[Billing] = field(default_factory=list)
    billed_items: list[tuple[str, str]] = field(default_factory=list)
    ledger: list[LedgerRow] = field(default_factory=list)
    history: list[HistoryEntry] = field(default_factory=list)

    def change(self, stored: StoredEvent) -> None:
        """The event is to be saved as it is now."""
        self.stored[stored.billing_event_id] = stored
        self.changed_ids[stored.billing_event_id] = None

    def note(self, ask: Ask, billing_event_id: str, what: str, detail: Mapping[str, Any]) -> None:
        """Add to the history."""
        entry = HistoryEntry(
            billing_event_id, what, detail, ask.starter, ask.request.job_id, ask.cause.correlation_id
        )
        self.history.append(entry)


class TooLargeEventError(Exception):
    """What is to be told of a released event is more than one message may hold; nothing was written yet."""

    def __init__(self, billing_event_id: str) -> None:
        super().__init__(billing_event_id)
        self.billing_event_id = billing_event_id


async def decide_and_write(
    work: UnitOfWork,
    state: ReleaseState,
    decide: Callable[[ReleaseState], Decision],
    *,
    outcomes_of: Callable[[Decision], Iterable[Outcome]],
    wishes_of: Callable[[Decision], Sequence[Decided]],
) -> Decision:
    """Decide, write and publish. An event that no message can tell of is refused (`too_large`), and all decided anew.

    Each time anew refuses one event more, so that this ends.
    """
    while True:
        decision = await decide_with_ids(work.connection, state, decide, outcomes_of)
        try:
            with work.messages_of_one_piece():
                await write_decisions(work, state, wishes_of(decision))
        except TooLargeEventError as error:
            state = replace(state, too_large_ids=state.too_large_ids | {error.billing_event_id})
        else:
            return decision


async def write_decisions(work: UnitOfWork, state: ReleaseState, decided: Sequence[Decided]) -> None:
    """Write and publish what was decided on this state: everything of an event, or nothing (domain.md section 2).

    The facts of each released event are, in this order, `split`, `released`, `business-records.billed` and, for the new
    event, `registered`; the alert of a threshold that it crossed follows (contract.md section 1, flow 1).
    """
    writing = _Writing(work, datetime.now(UTC), dict(state.events))
    counts: Counter[tuple[str, str | None]] = Counter()
    for each in decided:
        match each.outcome:
            case Refused() as refused:
                _note_refused(writing, each.ask, refused)
                counts["refused", refused.reasons[0].code] += 1
            case Released() | Split() as outcome:
                try:
                    _note_released(writing, each.ask, outcome)
                except MessageTooLargeError:
                    raise TooLargeEventError(each.ask.billing_event_id) from None
                counts["split" if isinstance(outcome, Split) else "released", None] += 1
    await _save(writing, state)
    for (outcome_name, code), count in counts.items():
        count_release_decision(outcome_name, code, count)


def _note_released(writing: _Writing, ask: Ask, outcome: Released | Split) -> None:
    work, cause, starter = writing.work, ask.cause, ask.starter
    event = outcome.event
    project_id = event.project_id
    stored = replace(
        writing.stored[event.billing_event_id],
        event=event,
        released_at=writing.released_at,
        released_by=starter["user_id"] if starter else None,
        released_by_job_id=ask.request.job_id,
        release_starter=starter,
    )
    writing.change(stored)
    document = decision_document(outcome.decision)
    writing.ledger += [LedgerRow(entry, "release", document) for entry in outcome.ledger_entries]
    writing.billings += outcome.billings
    writing.billed_items += [(item.item_id, event.billing_event_id) for item in event.items]
    warnings = reason_bodies(outcome.warnings)
    if isinstance(outcome, Split):
        for body in split_bodies(outcome, job_id=ask.request.job_id, starter=starter):
            work.publish("release.billing-event.split.v1", project_id, body, cause)
    body = released_body(
        billing_event_body(stored),
        outcome.decision,
        job_id=ask.request.job_id,
        and_invoice=ask.and_invoice,
        starter=starter,
        warnings=warnings,
    )
    work.publish("release.billing-event.released.v1", project_id, body, cause)
    if any(warning.code in GUARD_CODES for warning in outcome.warnings):
        told = {
            "billing_event_id": event.billing_event_id,
            "project_id": project_id,
            "job_id": ask.request.job_id,
            "warnings": warnings,
            "starter": starter,
        }
        work.publish("release.billing-event.billed-again.v1", project_id, told, cause)
    if marked := billed_body(event, billed_records(event.items), billed=True, starter=starter):
        work.publish("release.business-records.billed.v1", project_id, marked, cause)
    if isinstance(outcome, Split):
        _note_new_event(writing, ask, outcome, stored)
        result = result_body(outcome)
        writing.note(
            ask,
            event.billing_event_id,
            "split",
            {"decision": document, "result": result, "warnings": warnings},
        )
    else:
        writing.note(ask, event.billing_event_id, "released", {"decision": document, "warnings": warnings})
    if outcome.crossing is not None:
        crossing = crossing_body(outcome.crossing, starter)
        work.publish("release.cap.threshold-crossed.v1", project_id, crossing, cause)


def _note_new_event(writing: _Writing, ask: Ask, split: Split, origin: StoredEvent) -> None:
    """The event that a split made: its items leave the origin, adjustments are new in both."""
    new_event = split.new_event
    stored = StoredEvent(
        new_event,
        missing=missing_fields(new_event),
        engagement=origin.engagement,
        conflict=origin.conflict,
    )
    writing.new_events.append(stored)
    writing.removed_items += [(split.event.billing_event_id, item_id) for item_id in split.moved_item_ids]
    generated = {half.item_id for half in split.adjustments}
    writing.added_items += [
        (split.event.billing_event_id, item) for item in split.event.items if item.item_id in generated
    ]
    publish_billing_event(writing.work, "registered", stored, ask.cause, ask.starter)
    writing.note(
        ask,
        new_event.billing_event_id,
        "registered",
        {"origin_id": new_event.origin_id, "root_id": new_event.root_id, "made_by_cap": True},
    )


def _note_refused(writing: _Writing, ask: Ask, refused: Refused) -> None:
    stored = writing.stored.get(refused.billing_event_id)
    if ask.is_published:
        publish_refused(
            writing.work,
            refused.billing_event_id,
            None if stored is None else stored.event.project_id,
            refused.reasons,
            ask.cause,
            starter=ask.starter,
            job_id=ask.request.job_id,
            preview=preview_body(refused),
        )
    if stored is None:
        return
    job_id = ask.request.job_id
    if stored.stage is Stage.QUEUED and stored.event.queued_by == job_id:
        event = replace(stored.event, stage=Stage.AWAITING_RELEASE, queued_by=None)
        writing.change(replace(stored, event=event))
    decision = None if refused.decision is None else decision_document(refused.decision)
    detail = {"reasons": reason_bodies(refused.reasons), "decision": decision}
    writing.note(ask, refused.billing_event_id, "refused", detail)


async def _save(writing: _Writing, state: ReleaseState) -> None:
    connection = writing.work.connection
    await event_changes.delete_items(connection, writing.removed_items)
    await event_changes.insert_items(connection, writing.added_items)
    await event_changes.save_stages(
        connection, [writing.stored[billing_event_id] for billing_event_id in writing.changed_ids]
    )
    await event_changes.insert_events(connection, writing.new_events)
    await ledger.append_ledger(connection, writing.ledger)
    await caps.add_released(connection, [row.entry for row in writing.ledger], state.caps)
    await billed.put_on(connection, state.billed, writing.billings, writing.billed_items)
    await history.append_history(connection, writing.history)
