"""Release jobs: the order of the selection, its chunks, and the decision of one chunk (domain.md section 2, Job)."""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from release.domain.cap_state import ProjectCap
from release.domain.events import BillingEvent, RecordKey
from release.domain.reasons import Reason, not_found
from release.domain.release import Outcome, Refused, Released, Split, decide_release
from release.domain.settings import OnChunkFailure, ReleaseRequest, ReleaseSettings


class JobMode(StrEnum):
    """How a job is worked: in the background, or at once where it is small enough."""

    BACKGROUND = "background"
    AUTO = "auto"


class JobStatus(StrEnum):
    """Where a job stands; `failed` is one that could not be worked to its end."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Found:
    """An event that a batch or a filter has found awaiting release."""

    billing_event_id: str
    date: datetime.date


@dataclass(frozen=True, slots=True)
class ChunkDecision:
    """What becomes of each event of a chunk, by id in the order of decision, and the caps after it, by project.

    `culprits` are in the order of decision. Where the chunk failed as a whole nothing of it is released, and the caps
    are as they were.
    """

    outcomes: Mapping[str, Outcome]
    culprits: tuple[str, ...]
    caps: Mapping[str, ProjectCap]

    @property
    def released(self) -> int:
        """The number of events released; a split event counts as released."""
        return sum(1 for outcome in self.outcomes.values() if not isinstance(outcome, Refused))

    @property
    def failed(self) -> int:
        """The number of events refused, by themselves or with their chunk."""
        return len(self.outcomes) - self.released


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


def final_status(failed: int) -> JobStatus:
    """The status of a job that was worked to its end, by the number of events that failed."""
    return JobStatus.COMPLETED_WITH_ERRORS if failed else JobStatus.COMPLETED


def decide_chunk(
    billing_event_ids: Sequence[str],
    events: Mapping[str, BillingEvent],
    caps: Mapping[str, ProjectCap],
    request: ReleaseRequest,
    settings: ReleaseSettings,
    *,
    record_versions: Mapping[RecordKey, int],
    taken_ids: AbstractSet[str],
) -> ChunkDecision:
    """Decide one chunk, all or nothing unless `on_chunk_failure` is `isolate` (domain.md section 2).

    The events are decided in order, each against what the earlier ones left of the caps; a culprit takes nothing and is
    skipped for those after it. An id that is not in `events` is a culprit, `not_found`. If there is a culprit, the
    others are refused as `batch_failed`, naming the culprits. `caps` are by project, `taken_ids` as for
    `decide_release`, of all the lineages in the chunk.
    """
    running_caps = dict(caps)
    running_ids = set(taken_ids)
    outcomes: dict[str, Outcome] = {}
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
            record_versions=record_versions,
            taken_ids=running_ids,
        )
        outcomes[billing_event_id] = outcome
        if isinstance(outcome, Refused):
            continue
        running_caps[event.project_id] = outcome.cap
        if isinstance(outcome, Split):
            running_ids.add(outcome.new_event.billing_event_id)
    culprits = tuple(key for key, outcome in outcomes.items() if isinstance(outcome, Refused))
    if culprits and settings.on_chunk_failure is OnChunkFailure.FAIL:
        return ChunkDecision(_failed_with(outcomes, culprits), culprits, caps)
    return ChunkDecision(outcomes, culprits, running_caps)


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
