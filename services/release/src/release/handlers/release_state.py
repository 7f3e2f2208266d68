"""What the decision on releasing needs: events, caps, later records and taken ids, locked or only looked at."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TypeVar

import asyncpg

from release.domain.billed import Billed
from release.domain.billed_once import RECORD_ALREADY_BILLED, records_of
from release.domain.cap_state import ProjectCap
from release.domain.events import BillingEvent, RecordKey
from release.domain.release import Outcome, Refused, Released
from release.store.billed import load_billed, lock_billed, name_billings
from release.store.caps import load_caps, lock_caps_of_events
from release.store.connection import Connection, Reader
from release.store.events import StoredEvent, load_events, lock_events
from release.store.lineages import load_taken_ids
from release.store.record_versions import load_later_versions

Decided = TypeVar("Decided")


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """Events and caps as they stand.

    `events` by id, unknown ones left out; `caps` by project; `record_versions` of the records that are known in a later
    version than an item names; `billed` of the events' items and records; `taken_ids` in the lineages of those events
    that are to be split. `dry_run_job_id` where it is a dry run's, for which the ids that it would have given are
    taken, too.
    """

    events: Mapping[str, StoredEvent]
    caps: Mapping[str, ProjectCap]
    record_versions: Mapping[RecordKey, int]
    billed: Billed
    taken_ids: AbstractSet[str] = field(default_factory=frozenset)
    dry_run_job_id: str | None = None
    too_large_ids: AbstractSet[str] = frozenset()
    """Events of which a fact has turned out to be more than one message may tell."""

    @property
    def billing_events(self) -> dict[str, BillingEvent]:
        """The events as the domain decides on them, by id."""
        found = {billing_event_id: stored.event for billing_event_id, stored in self.events.items()}
        for billing_event_id in self.too_large_ids:
            found[billing_event_id] = replace(found[billing_event_id], is_too_large=True)
        return found


async def lock_state(connection: Connection, billing_event_ids: Iterable[str]) -> ReleaseState:
    """Lock the events' projects, the events, then the sums of their records, each in order, and load the state.

    Raises asyncpg.SerializationError, so that the transaction is done again, if an event belongs to a project by then
    that was not locked.
    """
    ids = sorted(set(billing_event_ids))
    caps = await lock_caps_of_events(connection, ids)
    events = await lock_events(connection, ids)
    not_locked = {stored.event.project_id for stored in events.values()} - caps.keys()
    if not_locked and await load_caps(connection, not_locked):
        raise asyncpg.SerializationError("a project has become known, or a billing event has changed its own")
    later = await load_later_versions(connection, events)
    billed = await lock_billed(connection, (stored.event for stored in events.values()))
    return ReleaseState(events, caps, later, billed)


async def load_state(connection: Reader, billing_event_ids: Iterable[str]) -> ReleaseState:
    """The same without locking, for previews."""
    events = await load_events(connection, billing_event_ids)
    caps = await load_caps(connection, {stored.event.project_id for stored in events.values()})
    later = await load_later_versions(connection, events)
    billed = await load_billed(connection, (stored.event for stored in events.values()))
    return ReleaseState(events, caps, later, billed)


async def decide_with_ids(
    connection: Reader,
    state: ReleaseState,
    decide: Callable[[ReleaseState], Decided],
    outcomes_of: Callable[[Decided], Iterable[Outcome]],
) -> Decided:
    """Decide, and where something is split or billed twice decide again once the ids are known that it is to name.

    They change nothing but names: of what a split makes, and of the events that bill a record. Most need none.
    """
    decided = decide(state)
    outcomes = list(outcomes_of(decided))
    twice = {key for outcome in outcomes for key in _billed_twice(outcome)}
    if twice:
        state = replace(state, billed=await name_billings(connection, state.billed, twice))
    root_ids = {
        split.event.lineage_root_id
        for outcome in outcomes
        if (split := outcome.preview if isinstance(outcome, Refused) else outcome) is not None
        and not isinstance(split, Released)
    }
    if root_ids:
        taken_ids = await load_taken_ids(connection, root_ids, dry_run_job_id=state.dry_run_job_id)
        state = replace(state, taken_ids=taken_ids)
    return decide(state) if root_ids or twice else decided


def _billed_twice(outcome: Outcome) -> Iterator[RecordKey]:
    """The records that the outcome says are billed already."""
    for reason in outcome.reasons if isinstance(outcome, Refused) else outcome.warnings:
        if reason.code == RECORD_ALREADY_BILLED:
            yield from records_of(reason)
