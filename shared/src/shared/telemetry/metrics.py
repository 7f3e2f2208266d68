"""The catalogue of Sluice's own metrics, and the functions that feed them.

Every metric stands here once, with a sentence on what it says and what its labels hold. Labels are names of
lines, outcomes, codes and kinds: sets that stay small, never ids. The web framework measures requests, as
`http_server_request_duration_seconds` (method, route, status) and `http_server_active_requests`.
"""

from typing import Final

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

_METER: Final = metrics.get_meter("sluice")
_DURATION_SECONDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
_BATCH_RECORDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)

READY: Final = _METER.create_gauge(
    "sluice_ready",
    description="Whether a part of the service is well (1) or not (0), by check.",
)
CONSUMER_LAG_RECORDS: Final = _METER.create_gauge(
    "sluice_consumer_lag_records",
    description="How many records of a line's topics wait to be taken, by line.",
)
BATCH_SIZE_RECORDS: Final = _METER.create_histogram(
    "sluice_batch_size_records",
    description="How many records a batch had, by line.",
    explicit_bucket_boundaries_advisory=_BATCH_RECORDS,
)
BATCH_DURATION_SECONDS: Final = _METER.create_histogram(
    "sluice_batch_duration_seconds",
    unit="s",
    description="How long a batch took from the first record to the commit, by line.",
    explicit_bucket_boundaries_advisory=_DURATION_SECONDS,
)
INBOX_DUPLICATES: Final = _METER.create_counter(
    "sluice_inbox_duplicate_messages",
    description="Messages that had been taken before and had no second effect, by line.",
)
DEAD_LETTERS: Final = _METER.create_counter(
    "sluice_dead_letter_records",
    description="Records that could not be taken and were put aside, by line.",
)
BATCHES_NOT_TAKEN: Final = _METER.create_counter(
    "sluice_not_taken_batches",
    description="Batches given back to come again after a back-off, by line.",
)
LINE_PAUSES: Final = _METER.create_counter(
    "sluice_line_pauses",
    description="Times that a line stopped because most of what came was bad, by line.",
)
OWN_FAULTS: Final = _METER.create_counter(
    "sluice_own_fault_tries",
    description="Tries that failed by a fault of ours, such as a column or a grant that is missing, by place"
    " (a line, a worker, the relay). Nothing is lost: they are made again until it is cured.",
)
OUTBOX_OLDEST_AGE_SECONDS: Final = _METER.create_gauge(
    "sluice_outbox_oldest_age_seconds",
    unit="s",
    description="Age of the oldest message that is committed and not yet at the broker.",
)
OUTBOX_SIZE_MESSAGES: Final = _METER.create_gauge(
    "sluice_outbox_size_messages",
    description="Messages that are committed and not yet at the broker, counted up to a limit.",
)
OUTBOX_REFUSED_KEYS: Final = _METER.create_gauge(
    "sluice_outbox_refused_keys",
    description="Keys whose messages the broker refuses: theirs wait in the outbox, all others go past them.",
)
PUBLISHED_MESSAGES: Final = _METER.create_counter(
    "sluice_published_messages", description="Messages that the broker has acknowledged."
)
RELEASE_DECISIONS: Final = _METER.create_counter(
    "sluice_release_decisions",
    description="Decisions on releasing a billing event, by outcome and, of a refusal, first code.",
)
DOCUMENTS: Final = _METER.create_counter(
    "sluice_documents", description="Documents that reached a status, by kind and status."
)
BOOK_DIFFERENCES: Final = _METER.create_gauge(
    "sluice_book_differences",
    description="Differences that the last look at the books has found, by check.",
)
PENDING_WORK: Final = _METER.create_gauge(
    "sluice_pending_tasks",
    description="How many things failed by our own fault and are being tried again, by kind.",
)
MAILS: Final = _METER.create_counter("sluice_mails", description="Mails, by outcome (sent, failed, retried).")


def configure_metrics(service: str, instance: str) -> MeterProvider:
    """Set the process's meter provider, read by `metrics_page`. Once in a process."""
    provider = MeterProvider(
        resource=Resource.create({"service.name": service, "service.instance.id": instance}),
        metric_readers=[PrometheusMetricReader(scope_info_enabled=False)],
    )
    metrics.set_meter_provider(provider)
    return provider


def metrics_page() -> tuple[bytes, str]:
    """All metrics in the Prometheus text format, and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST


def begin_line(line: str) -> None:
    """A line has begun: its counters are there from 0 on, or nobody would see the first thing that they count."""
    for counter in (INBOX_DUPLICATES, DEAD_LETTERS, BATCHES_NOT_TAKEN, LINE_PAUSES):
        counter.add(0, {"line": line})
    OWN_FAULTS.add(0, {"place": f"line {line}"})


def set_ready(check: str, *, ok: bool) -> None:
    """Whether a part is well."""
    READY.set(int(ok), {"check": check})


def set_lag(line: str, lag_records: int) -> None:
    """How many records of a line wait."""
    CONSUMER_LAG_RECORDS.set(lag_records, {"line": line})


def observe_batch(line: str, size_records: int, duration_seconds: float, dead_letters: int) -> None:
    """A batch was taken; `dead_letters` of its records were put aside."""
    labels = {"line": line}
    BATCH_SIZE_RECORDS.record(size_records, labels)
    BATCH_DURATION_SECONDS.record(duration_seconds, labels)
    DEAD_LETTERS.add(dead_letters, labels)


def count_duplicates(line: str, count: int) -> None:
    """Messages of a line that had been taken before."""
    INBOX_DUPLICATES.add(count, {"line": line})


def count_not_taken(line: str) -> None:
    """A batch of a line is to come again."""
    BATCHES_NOT_TAKEN.add(1, {"line": line})


def count_own_fault(place: str) -> None:
    """A try in a place (`line psa`, `worker jobs`) failed by a fault of ours."""
    OWN_FAULTS.add(1, {"place": place})


def count_pause(line: str) -> None:
    """A line stopped."""
    LINE_PAUSES.add(1, {"line": line})


def count_published(count: int) -> None:
    """Messages that the broker has."""
    PUBLISHED_MESSAGES.add(count)


def set_refused_keys(count: int) -> None:
    """How many keys the broker refuses."""
    OUTBOX_REFUSED_KEYS.set(count)


def set_outbox(size_messages: int, oldest_age_seconds: float) -> None:
    """What waits in the outbox."""
    OUTBOX_SIZE_MESSAGES.set(size_messages)
    OUTBOX_OLDEST_AGE_SECONDS.set(oldest_age_seconds)


def count_release_decision(outcome: str, code: str | None = None, count: int = 1) -> None:
    """Decisions on releasing billing events; `code` is the first one of a refusal."""
    RELEASE_DECISIONS.add(count, {"outcome": outcome, "code": code or ""})


def count_documents(kind: str, status: str, count: int = 1) -> None:
    """Documents that reached a status."""
    DOCUMENTS.add(count, {"kind": kind, "status": status})


def set_book_differences(check: str, count: int) -> None:
    """How many differences a check of the books has found."""
    BOOK_DIFFERENCES.set(count, {"check": check})


def set_pending_work(kind: str, count: int) -> None:
    """How many things of a kind failed by our own fault and are being tried again."""
    PENDING_WORK.set(count, {"kind": kind})


def count_mails(outcome: str, count: int = 1) -> None:
    """Mails that were sent, failed or are to be tried again."""
    MAILS.add(count, {"outcome": outcome})
