"""Messages that services have sent, as the outbox rows that they were."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from shared.kafka_options import ISOLATION_LEVEL

SAMPLE_ROWS: Final = 2_000

_TOPICS: Final = (
    "release.events",
    "release.commands",
    "accounting.events",
    "accounting.commands",
    "billing-runs.events",
    "notifier.events",
)
_SOURCE_PREFIX: Final = "sluice/"
_POLL_MILLISECONDS: Final = 500


class OutboxRow(NamedTuple):
    """What the outbox held of a message."""

    id: str
    topic: str
    key: bytes | None
    type: str
    payload: bytes
    correlation_id: str | None
    causation_id: str | None
    traceparent: str | None


async def sample_outbox_rows(client_options: Mapping[str, Any]) -> dict[str, Sequence[OutboxRow]]:
    """The first messages that each service has sent, by the service's schema."""
    found: dict[str, list[OutboxRow]] = {}
    consumer = AIOKafkaConsumer(
        *_TOPICS,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level=ISOLATION_LEVEL,
        **client_options,
    )
    await consumer.start()
    try:
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(consumer.assignment())
        full: set[TopicPartition] = set()
        while left := [
            each for each, end in ends.items() if each not in full and await consumer.position(each) < end
        ]:
            for partition, records in (await consumer.getmany(*left, timeout_ms=_POLL_MILLISECONDS)).items():
                for record in records:
                    if _take(record, found):
                        full.add(partition)
    finally:
        await consumer.stop()
    return dict(found)


def _take(record: "ConsumerRecord[bytes, bytes]", found: dict[str, list[OutboxRow]]) -> bool:
    """Take the record unless its service has enough; whether it has."""
    headers = {name: value.decode() for name, value in record.headers if value is not None}
    source = headers.get("ce_source", "")
    if not source.startswith(_SOURCE_PREFIX):
        return False
    rows = found.setdefault(source.removeprefix(_SOURCE_PREFIX).replace("-", "_"), [])
    if len(rows) >= SAMPLE_ROWS:
        return True
    rows.append(
        OutboxRow(
            headers["ce_id"],
            record.topic,
            record.key,
            headers["ce_type"],
            record.value,
            headers.get("ce_correlationid"),
            headers.get("ce_causationid"),
            headers.get("traceparent"),
        )
    )
    return False
