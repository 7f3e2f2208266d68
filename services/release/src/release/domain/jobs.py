"""Release jobs: the order of the selection, its chunks, and the decision of one chunk (domain.md section 2, Job)."""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Final

from release.domain.billed import Billed
from release.domain.cap_state import ProjectCap
from release.domain.caps import Divided, decide_caps
from release.domain.events import BillingEvent, RecordKey
from release.domain.reasons import Reason, not_found
from release.domain.release import Outcome, Refused, Released, Split, bill, decide_release
from release.domain.settings import (
    Channel,
    OnCap,
    OnChunkFailure,
    ReleaseRequest,
    ReleaseSettings,
    becomes_job,
)


class JobMode(StrEnum):
    """How a job is worked: in the background, or at once where it is small enough."""

    BACKGROUND = "background"
    AUTO = "auto"


class JobStatus(StrEnum):
    """Where a job stands; `stopped` by a person, `failed` one that could not be worked to its end."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Found:
    """An event that a batch or a filter has found awaiting release."""

    billing_event_id: str
    date: datetime.date


@dataclass(frozen=True, slots=True)
class ChunkDecision:
    """What becomes of each event of a chunk, by id in the order of decision, and what is so after it.

    That is the caps, by project, and what is billed. `culprits` are in the order of decision, `splittable` those of
    them that the quick action would offer to split. Where the chunk failed as a whole nothing of it is released, and
    both are as they were.
    """

    outcomes: Mapping[str, Outcome]
    culprits: tuple[str, ...]
    caps: Mapping[str, ProjectCap]
    billed: Billed
    splittable: frozenset[str] = frozenset()

    @property
    def released(self) -> int:
        """The number of events released; a split event counts as released."""
        return sum(1 for outcome in self.outcomes.values() if not isinstance(outcome, Refused))

    @property
    def failed(self) -> int:
        """The number of events refused, by themselves or with their chunk."""
        return len(self.outcomes) - self.released

    @property
    def held_back(self) -> tuple[str, ...]:
        """The good events that were refused with their chunk, in the order of decision."""
        culprits = set(self.culprits)
        return tuple(
            key
            for key, outcome in self.outcomes.items()
            if isinstance(outcome, Refused) and key not in culprits
        )


def in_order_given(billing_event_ids: Iterable[str]) -> list[str]:
    """A selection by ids: as given, duplicates counting once."""
    return list(dict.fromkeys(billing_event_ids))


def in_order_found(found: Iterable[Found]) -> list[str]:
    """A selection by batches or a filter: by date, then id by code point, duplicates counting once."""
    ordered = sorted(found, key=lambda event: (event.date, event.billing_event_id))
    return in_order_given(event.billing_event_id for event in ordered)


def cut_into_chunks(billing_event_ids: Iterable[str], settings: ReleaseSettings) -> Iterator[tuple[str, ...]]:
    """The ordered selection in chunks of `release_batch_size` events; the last may be shorter."""
    remaining = iter(billing_event_ids)
    while chunk := tuple(islice(remaining, settings.release_batch_size)):
        yield chunk


def is_done_at_once(mode: JobMode, event_count: int, item_count: int, settings: ReleaseSettings) -> bool:
    """Whether a job is released at once, as one chunk: mode `auto`, and up to `release_batch_size` items in all."""
    return mode is JobMode.AUTO and max(event_count, item_count) <= settings.release_batch_size


def narrowed(found: Iterable[Found], excluded_ids: Iterable[str]) -> list[Found]:
    """What was found without the ids that the selection leaves out."""
    excluded = set(excluded_ids)
    return [event for event in found if event.billing_event_id not in excluded]


def final_status(*, failed: int, pending: int = 0) -> JobStatus:
    """The status of a job that was worked to its end; what is still tried again counts as an error."""
    return JobStatus.COMPLETED_WITH_ERRORS if failed or pending else JobStatus.COMPLETED


RETRY_SECONDS_FIRST: Final = 60.0
RETRY_SECONDS_MAX: Final = 3600.0


def retry_seconds(tries: int) -> float:
    """How long a chunk that has failed by a fault of ours so many times waits for its next try."""
    return min(RETRY_SECONDS_FIRST * 2.0 ** min(tries - 1, 10), RETRY_SECONDS_MAX)


def decide_chunk(
    billing_event_ids: Sequence[str],
    events: Mapping[str, BillingEvent],
    caps: Mapping[str, ProjectCap],
    request: ReleaseRequest,
    settings: ReleaseSettings,
    *,
    billed: Billed,
    record_versions: Mapping[RecordKey, int],
    taken_ids: AbstractSet[str],
) -> ChunkDecision:
    """Decide one chunk, all or nothing unless `on_chunk_failure` is `isolate` (domain.md section 2).

    The events are decided in order, each against what the earlier ones left of the caps and have billed; a culprit
    takes nothing and is skipped for those after it. An id that is not in `events` is a culprit, `not_found`. If there
    is a culprit, the others are refused as `batch_failed`, naming the culprits. `caps` are by project, `billed` and
    `taken_ids` as for `decide_release`, of all the events and lineages in the chunk.
    """
    running_caps = dict(caps)
    running_ids, running_billed = set(taken_ids), billed.copy()
    outcomes: dict[str, Outcome] = {}
    splittable: set[str] = set()
    for billing_event_id in billing_event_ids:
        event = events.get(billing_event_id)
        if event is None:
            outcomes[billing_event_id] = Refused(billing_event_id, (not_found(billing_event_id),))
            continue
        outcome = decide_release(
            event,
            running_caps.get(event.project_id),
            request,
            settings,
            billed=running_billed,
            record_versions=record_versions,
            taken_ids=running_ids,
        )
        outcomes[billing_event_id] = outcome
        if isinstance(outcome, Refused):
            if _could_be_split(event, outcome, running_caps, request, settings):
                splittable.add(billing_event_id)
            continue
        running_caps[event.project_id] = outcome.cap
        bill(running_billed, outcome)
        if isinstance(outcome, Split):
            running_ids.add(outcome.new_event.billing_event_id)
    culprits = tuple(key for key, outcome in outcomes.items() if isinstance(outcome, Refused))
    if culprits and settings.on_chunk_failure is OnChunkFailure.FAIL:
        return ChunkDecision(_failed_with(outcomes, culprits), culprits, caps, billed, frozenset(splittable))
    return ChunkDecision(outcomes, culprits, running_caps, running_billed, frozenset(splittable))


_OVER_A_CAP: Final = frozenset({"cap_exceeded", "budget_cap_exceeded"})


def _could_be_split(
    event: BillingEvent,
    refused: Refused,
    caps: Mapping[str, ProjectCap],
    request: ReleaseRequest,
    settings: ReleaseSettings,
) -> bool:
    """Whether only a cap stands against the event, and the quick action, asked at this place, would offer a split."""
    if not all(reason.code in _OVER_A_CAP for reason in refused.reasons):
        return False
    verdict = decide_caps(
        event,
        caps[event.project_id],
        replace(request, channel=Channel.QUICK, on_cap=OnCap.SPLIT),
        settings,
        beside_other_reasons=False,
    )
    return isinstance(verdict, Divided) and not becomes_job(len(event.items), settings)


def _failed_with(outcomes: Mapping[str, Outcome], culprits: tuple[str, ...]) -> dict[str, Outcome]:
    """The culprits' own refusals, and `batch_failed` for the others."""
    named = ", ".join(culprits)
    reason = Reason(
        "batch_failed",
        f"It was released together with events that could not be ({named}), so none of them was.",
        {"culprits": list(culprits)},
    )
    return {
        key: Refused(key, (reason,), decision=outcome.decision)
        if isinstance(outcome, Released | Split)
        else outcome
        for key, outcome in outcomes.items()
    }
