"""Validate first: which events of a selection a release job would refuse, by the same code (domain.md section 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from release.domain.jobs import cut_into_chunks, decide_chunk
from release.domain.reasons import Reason
from release.domain.release import Refused
from release.domain.settings import Channel, ReleaseRequest, ReleaseSettings
from release.handlers.job_acceptance import select_events
from release.handlers.release_state import load_state
from release.store.connection import Reader
from shared.contracts.selections import SelectOf


@dataclass(frozen=True, slots=True)
class Validation:
    """How many events were checked, those that would fail, each with why, and the others, as they were selected.

    `is_validated` is false where there were too many to check.
    """

    checked: int
    would_fail: Mapping[str, tuple[Reason, ...]]
    would_release: tuple[str, ...]
    is_validated: bool


async def validate_selection(
    connection: Reader,
    select: SelectOf[Any],
    permitted_projects: frozenset[str] | None,
    settings: ReleaseSettings,
    *,
    validation_limit: int,
) -> Validation:
    """Decide a job's chunks as things stand, one after the other, without doing anything of it."""
    billing_event_ids = await select_events(connection, select)
    if len(billing_event_ids) > validation_limit:
        return Validation(0, {}, (), is_validated=False)
    state = await load_state(connection, billing_event_ids)
    caps = state.caps
    request = ReleaseRequest(Channel.JOB, permitted_projects=permitted_projects)
    would_fail: dict[str, tuple[Reason, ...]] = {}
    for chunk in cut_into_chunks(billing_event_ids, settings):
        decision = decide_chunk(
            chunk,
            state.billing_events,
            caps,
            request,
            settings,
            record_versions=state.record_versions,
            taken_ids=state.taken_ids,
        )
        caps = decision.caps
        would_fail |= {
            billing_event_id: outcome.reasons
            for billing_event_id, outcome in decision.outcomes.items()
            if isinstance(outcome, Refused)
        }
    would_release = tuple(each for each in billing_event_ids if each not in would_fail)
    return Validation(len(billing_event_ids), would_fail, would_release, is_validated=True)
