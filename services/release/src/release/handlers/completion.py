"""Events are completed again, since something that they depend on has arrived or changed (domain.md section 1)."""

import time
from dataclasses import dataclass
from typing import Final

from release.domain.psa_changes import ChangeRefused, Deleted, IdTaken, StoredState, take_deleted
from release.domain.sources import CompanySource
from release.domain.stages import UNRELEASED_STAGES, Stage
from release.facts import reason_bodies
from release.handlers.arrival import complete_change, deleted_event
from release.handlers.publishing import (
    publish_billing_event,
    publish_deleted,
    publish_mismatch,
    publish_refused,
)
from release.store import completions, deletions, event_changes, events, history
from release.store.events import StoredEvent
from release.store.history import HistoryEntry
from release.store.known_sources import Sources, load_sources
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.set_aside import IsolatedStep, Picked

CHANGES_MAX: Final = 2_000
EVENTS_MAX: Final = 500
SETTLING_SECONDS_MAX: Final = 150.0
"""Longer than any transaction of ours can last, and all that a change may wait for others."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Changes that were seen, and the transactions that may have read what was before them."""

    change_ids: list[int]
    under_way: frozenset[str]
    seen_at: float


class ChangeSpreader:
    """Finds the events that depend on sources that changed. `step` is the step of a worker; replicas share the work."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: _Seen | None = None

    async def step(self) -> bool:
        """Look at the next changes, or wait for older transactions, or make the changes' events due."""
        if self._seen is None:
            change_ids = await completions.seen_changes(self._database.pool, changes_max=CHANGES_MAX)
            if not change_ids:
                return False
            # Read after the changes: a transaction that is not in it sees them, or has left what it wrote to be found.
            under_way = await completions.transactions_under_way(self._database.pool)
            self._seen = _Seen(change_ids, under_way, time.monotonic())
        if self._seen.under_way:
            still_under_way = await completions.transactions_under_way(self._database.pool)
            waited_seconds = time.monotonic() - self._seen.seen_at
            if self._seen.under_way & still_under_way and waited_seconds < SETTLING_SECONDS_MAX:
                return False
        change_ids = self._seen.change_ids
        await self._database.run(lambda work: completions.spread_changes(work.connection, change_ids))
        self._seen = None
        return True


async def complete_due(
    work: UnitOfWork,
    company_source: CompanySource,
    *,
    events_max: int = EVENTS_MAX,
    picked: Picked | None = None,
) -> int:
    """Complete the next events that are due, and say what has changed; gives how many were looked at.

    An unreleased event is completed again; of a released one only what is empty is filled; a delete that came before
    its event, unseen by the transaction that stored it, takes effect. Locks the events.
    """
    picked = picked or Picked([])
    due = await completions.take_due(work.connection, events_max=events_max, only=picked.only)
    picked.ids += due
    if not due:
        return 0
    stored = await events.lock_events(work.connection, due)
    sources = await load_sources(work.connection, [each.event for each in stored.values()], company_source)
    deleted = await deletions.load_deletions(work.connection, due)
    changed: list[StoredEvent] = []
    entries: list[HistoryEntry] = []
    for billing_event_id, before in stored.items():
        cause = due[billing_event_id]
        if billing_event_id in deleted and before.stage is not Stage.DELETED:
            after = _delete(work, before, deleted[billing_event_id], cause, entries)
        else:
            after = _complete(before, sources, company_source)
            if after is not before:
                publish_billing_event(work, "changed", after, cause)
                publish_mismatch(work, before, after, cause)
                entries.append(_completed_entry(after, cause))
        if after is not before:
            changed.append(after)
    await event_changes.update_completion(work.connection, changed)
    await history.append_history(work.connection, entries)
    return len(due)


def completion_step(database: Database, company_source: CompanySource) -> IsolatedStep:
    """A worker's step: complete the next events that are due, setting aside those that cannot be."""

    async def complete(work: UnitOfWork, picked: Picked) -> bool:
        return await complete_due(work, company_source, picked=picked) > 0

    return IsolatedStep(database, complete, queue=completions.QUEUE, facts="release", told=_note_set_aside)


async def _note_set_aside(work: UnitOfWork, billing_event_id: str, reason: str) -> None:
    """The event's history says why it stays as it is, until it is completed after all."""
    entry = HistoryEntry(billing_event_id, "set_aside", {"reason": reason})
    await history.append_history(work.connection, [entry])


def _complete(before: StoredEvent, sources: Sources, company_source: CompanySource) -> StoredEvent:
    """The event completed anew; the very same one if nothing about it changed."""
    if before.stage is not Stage.RELEASED and before.stage not in UNRELEASED_STAGES:
        return before
    after = complete_change(before, sources, company_source)
    return before if after == before else after


def _completed_entry(after: StoredEvent, cause: Cause) -> HistoryEntry:
    detail = {"stage": after.stage.value, "filled": dict(after.event.filled), "missing": list(after.missing)}
    return HistoryEntry(after.billing_event_id, "completed", detail, correlation_id=cause.correlation_id)


def _delete(
    work: UnitOfWork, before: StoredEvent, version: int, cause: Cause, entries: list[HistoryEntry]
) -> StoredEvent:
    event = before.event
    state = StoredState(before.stage, event.version, event)
    detail: dict[str, object] = {"version": version}
    match take_deleted(state, event.billing_event_id, version):
        case Deleted():
            after = deleted_event(before, version)
            publish_deleted(work, after, cause)
            what = "deleted"
        case ChangeRefused(reason) | IdTaken(reason):
            # Of an id that a split took at the same moment there is no message any more that could be put aside.
            after = before
            publish_refused(work, event.billing_event_id, event.project_id, [reason], cause)
            what, detail["reasons"] = "refused", reason_bodies([reason])
        case _:
            return before
    entries.append(HistoryEntry(event.billing_event_id, what, detail, correlation_id=cause.correlation_id))
    return after
