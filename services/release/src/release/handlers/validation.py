"""Validate first: which events of a selection a release job would refuse, by the same code (domain.md section 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from release.domain.jobs import cut_into_chunks, decide_chunk
from release.domain.reasons import Reason
from release.domain.release import Refused
from release.domain.settings import Channel, ReleaseRequest, ReleaseSettings
from release.handlers.job_acceptance import select_events
from release.handlers.release_state import load_state
from release.store.billed import name_billings
from release.store.connection import Reader
from shared.contracts.selections import JobSelectOf


@dataclass(frozen=True, slots=True)
class Validation:
    """How many events were checked, and what would become of them, in the order of the selection.

    `would_fail` are the culprits, each with why, `splittable` those of them that the quick action would offer to split,
    `held_back` the good events in a culprit's chunk. `is_validated` is false where there were too many to check.
    """

    checked: int = 0
    would_fail: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)
    splittable: frozenset[str] = frozenset()
    held_back: tuple[str, ...] = ()
    would_release: tuple[str, ...] = ()
    is_validated: bool = False


async def validate_selection(
    connection: Reader,
    select: JobSelectOf[Any],
    permitted_projects: frozenset[str] | None,
    settings: ReleaseSettings,
    *,
    validation_limit: int,
) -> Validation:
    """Decide a job's chunks as things stand, one after the other, without doing anything of it."""
    billing_event_ids = await select_events(connection, select)
    if len(billing_event_ids) > validation_limit:
        return Validation()
    state = await load_state(connection, billing_event_ids)
    caps = state.caps
    twice = [key for key, record in state.billed.records.items() if record.stays_billed]
    billed = await name_billings(connection, state.billed, twice)
    request = ReleaseRequest(Channel.JOB, permitted_projects=permitted_projects)
    would_fail: dict[str, tuple[Reason, ...]] = {}
    splittable: set[str] = set()
    held_back: list[str] = []
    for chunk in cut_into_chunks(billing_event_ids, settings):
        decision = decide_chunk(
            chunk,
            state.billing_events,
            caps,
            request,
            settings,
            billed=billed,
            record_versions=state.record_versions,
            taken_ids=state.taken_ids,
        )
        caps, billed = decision.caps, decision.billed
        splittable |= decision.splittable
        held_back += decision.held_back
        would_fail |= {
            culprit: outcome.reasons
            for culprit in decision.culprits
            if isinstance(outcome := decision.outcomes[culprit], Refused)
        }
    refused = {*would_fail, *held_back}
    return Validation(
        len(billing_event_ids),
        would_fail,
        frozenset(splittable),
        tuple(held_back),
        tuple(each for each in billing_event_ids if each not in refused),
        is_validated=True,
    )
