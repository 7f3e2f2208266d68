"""Dead letters: read from a service's topic of them, and sent again to where they came from (domain.md section 7)."""

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.contracts.topics import dead_letters_topic
from shared.kafka_options import ISOLATION_LEVEL

HEADER_PREFIX: Final = "dl_"
_BYTES_MAX: Final = 20 * 1024 * 1024
_POLL_MILLISECONDS: Final = 2_000
SILENCE_SECONDS_MAX: Final = 60.0
"""How long a broker may give nothing of what it has; a busy one may take some seconds."""

Headers = tuple[tuple[str, bytes | None], ...]


class DeadLetterError(RuntimeError):
    """There is no such dead letter, or it does not say where it came from."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dead letter lies in its topic; written `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """The place written as `partition:offset`. Raises ValueError for anything else."""
        partition, _, offset = text.partition(":")
        if not (partition.isdecimal() and offset.isdecimal()):
            raise ValueError(f"{text!r} is not a place; write partition:offset, as `dead-letters list` does")
        return cls(int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter: the original key, value and headers, and beside them what went wrong."""

    place: Place
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def why(self) -> dict[str, str]:
        """The `dl_` headers, without that prefix: reason, errors, topic, partition, offset, service, time."""
        return {
            name.removeprefix(HEADER_PREFIX): (value or b"").decode("utf-8", "replace")
            for name, value in self.headers
            if name.startswith(HEADER_PREFIX)
        }

    @property
    def original_headers(self) -> Headers:
        """The headers that the message came with."""
        return tuple((name, value) for name, value in self.headers if not name.startswith(HEADER_PREFIX))

    def outline(self) -> dict[str, Any]:
        """What a list shows."""
        why = self.why
        return {
            "place": str(self.place),
            "time": why.get("time"),
            "topic": why.get("topic"),
            "key": None if self.key is None else self.key.decode("utf-8", "replace"),
            "reason": why.get("reason"),
            "size_bytes": len(self.value or b""),
        }

    def full(self) -> dict[str, Any]:
        """Everything about it; bytes that are not UTF-8 are shown with replacement characters."""
        errors = self.why.get("errors", "[]")
        return {
            **self.outline(),
            "partition": self.why.get("partition"),
            "offset": self.why.get("offset"),
            "service": self.why.get("service"),
            "errors": json.loads(errors) if errors.startswith("[") else errors,
            "headers": {
                n: None if v is None else v.decode("utf-8", "replace") for n, v in self.original_headers
            },
            "value": None if self.value is None else self.value.decode("utf-8", "replace"),
        }


async def read_dead_letters(
    client_options: Mapping[str, Any], service: str, *, letters_max: int
) -> list[DeadLetter]:
    """The service's newest dead letters, at most `letters_max` of each partition, the oldest first."""
    async with _reader(client_options, dead_letters_topic(service)) as reader:
        for partition, end in reader.ends.items():
            reader.consumer.seek(partition, max(reader.begins[partition], end - letters_max))
        letters = [_letter(record) async for record in _records_to(reader.consumer, reader.ends)]
    return sorted(
        letters, key=lambda letter: (letter.why.get("time", ""), letter.place.partition, letter.place.offset)
    )


async def read_dead_letters_at(
    client_options: Mapping[str, Any], service: str, places: Sequence[Place]
) -> list[DeadLetter]:
    """The service's dead letters at these places, in this order, however many others there are.

    Raises DeadLetterError if there is none at one of them.
    """
    topic = dead_letters_topic(service)
    async with _reader(client_options, topic) as reader:
        found = [await reader.read(TopicPartition(topic, place.partition), place.offset) for place in places]
    missing = [str(place) for place, record in zip(places, found, strict=True) if record is None]
    if missing:
        raise DeadLetterError(f"{service} has no dead letter at {', '.join(missing)}")
    return [_letter(record) for record in found if record is not None]


@dataclass(frozen=True, slots=True)
class _Reader:
    """A consumer of a whole topic, with the first offset that each partition holds and the one after its last."""

    consumer: AIOKafkaConsumer
    begins: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]

    async def read(self, partition: TopicPartition, offset: int) -> "ConsumerRecord[bytes, bytes] | None":
        """The record there, or None."""
        if not self.begins.get(partition, 0) <= offset < self.ends.get(partition, 0):
            return None
        self.consumer.seek(partition, offset)
        records = [each async for each in _records_to(self.consumer, {partition: offset + 1}, at_a_time=1)]
        return next((each for each in records if each.offset == offset), None)


@asynccontextmanager
async def _reader(client_options: Mapping[str, Any], topic: str) -> AsyncIterator[_Reader]:
    await _require(client_options, topic)
    # Without a group the consumer takes all partitions of its topic, and nobody's offsets are touched.
    consumer = AIOKafkaConsumer(
        topic,
        enable_auto_commit=False,
        isolation_level=ISOLATION_LEVEL,
        max_partition_fetch_bytes=_BYTES_MAX,
        fetch_max_bytes=_BYTES_MAX,
        **client_options,
    )
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.beginning_offsets(partitions)
        yield _Reader(consumer, begins, ends)
    finally:
        await consumer.stop()


async def _require(client_options: Mapping[str, Any], topic: str) -> None:
    """Tell a missing topic at once; a consumer would wait for it to appear."""
    admin = AIOKafkaAdminClient(**client_options)
    await admin.start()
    try:
        if topic not in await admin.list_topics():
            raise DeadLetterError(f"there is no topic {topic}")
    finally:
        await admin.close()


async def _records_to(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], *, at_a_time: int | None = None
) -> "AsyncIterator[ConsumerRecord[bytes, bytes]]":
    """The records from where the consumer is up to these ends.

    Raises DeadLetterError if the broker gives none for too long: what is left out must not seem not to be there.
    """
    last_at = time.monotonic()
    while waiting := [each for each, end in ends.items() if await consumer.position(each) < end]:
        fetched = await consumer.getmany(*waiting, timeout_ms=_POLL_MILLISECONDS, max_records=at_a_time)
        if fetched:
            last_at = time.monotonic()
        elif time.monotonic() - last_at > SILENCE_SECONDS_MAX:
            raise DeadLetterError(f"the broker gave nothing for {SILENCE_SECONDS_MAX:g} s; try again")
        for records in fetched.values():
            for record in records:
                yield record


def _letter(record: "ConsumerRecord[bytes, bytes]") -> DeadLetter:
    return DeadLetter(Place(record.partition, record.offset), record.key, record.value, tuple(record.headers))


async def replay(
    client_options: Mapping[str, Any], letters: Sequence[DeadLetter], *, value: bytes | None = None
) -> None:
    """Send the letters to the topics they came from, with their own key, headers and value, or a mended value.

    Raises DeadLetterError, before anything is sent, if one does not say where it came from.
    """
    topics = [letter.why.get("topic") for letter in letters]
    if not all(topics):
        raise DeadLetterError("a dead letter does not say from which topic it came")
    producer = AIOKafkaProducer(acks="all", max_request_size=_BYTES_MAX, **client_options)
    await producer.start()
    try:
        for topic, letter in zip(topics, letters, strict=True):
            await producer.send_and_wait(
                str(topic),
                key=letter.key,
                value=letter.value if value is None else value,
                headers=list(letter.original_headers),
            )
    finally:
        await producer.stop()
