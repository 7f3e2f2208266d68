"""Settings and requests that the release decisions depend on (contract.md section 4, domain.md section 2)."""

from dataclasses import dataclass
from enum import StrEnum


class Channel(StrEnum):
    """How a release was asked for: the quick action on one event (also when its size made it a job), or a job."""

    QUICK = "quick"
    JOB = "job"


class OnCap(StrEnum):
    """What a quick action does over a cap: be told, or split and release."""

    REFUSE = "refuse"
    SPLIT = "split"


class OnChunkFailure(StrEnum):
    """What becomes of the good events of a chunk with a culprit: they fail with it, or are released."""

    FAIL = "fail"
    ISOLATE = "isolate"


class RecordGuard(StrEnum):
    """What becomes of an event that bills an item or a business record twice: refused, released with a warning, or
    nobody looks.
    """

    REFUSE = "refuse"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ReleaseSettings:
    """The deployment's settings for releasing.

    `release_batch_size` counts events of a job's chunk, and the items above which a quick action becomes a job.
    `optional_on_release` holds those of `account`, `company`, `currency`, `services_product` that need not be set.
    """

    support_contact: str
    release_batch_size: int = 200
    disable_billing_closer_to_cap: bool = False
    on_chunk_failure: OnChunkFailure = OnChunkFailure.FAIL
    record_guard: RecordGuard = RecordGuard.REFUSE
    optional_on_release: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """Who asks, and how: the channel, what to do over a cap, the job, and the projects that the token permits.

    `permitted_projects` None: the token names none, so all are permitted.
    """

    channel: Channel
    on_cap: OnCap = OnCap.REFUSE
    job_id: str | None = None
    permitted_projects: frozenset[str] | None = None


def becomes_job(item_count: int, settings: ReleaseSettings) -> bool:
    """Whether a quick action on an event of so many items becomes a job (domain.md section 2)."""
    return item_count > settings.release_batch_size
