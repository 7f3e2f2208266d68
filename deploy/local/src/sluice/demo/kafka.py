"""A Kafka client that knows the wire contract and nothing else: it sends CloudEvents, and reads facts as they come."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from shared.kafka_options import ISOLATION_LEVEL

Seen = TypeVar("Seen")

FACT_TOPICS: Final = ("release.events", "accounting.events", "billing-runs.events", "notifier.events")
DEAD_LETTER_TOPICS: Final = (
    "release.dead-letters",
    "accounting-connector.dead-letters",
    "billing-runs.dead-letters",
    "notifier.dead-letters",
)

_SOURCE: Final = "/sluice/demo"
_BYTES_MAX: Final = 16 * 1024 * 1024
_POLL_MILLISECONDS: Final = 200
_CHUNK_MESSAGES: Final = 2_000


class WaitError(RuntimeError):
    """What was waited for did not come in time."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send: its `ce_id` is given, so that it can be sent again. A body of bytes is sent as it is."""

    topic: str
    key: str
    type: str
    id: str
    body: Mapping[str, Any] | bytes
    traceparent: str | None = None

    def value(self) -> bytes:
        """What goes into the record."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    def headers(self) -> list[tuple[str, bytes]]:
        """CloudEvents 1.0, binary mode."""
        attributes = {
            "ce_specversion": "1.0",
            "ce_id": self.id,
            "ce_source": _SOURCE,
            "ce_type": self.type,
            "ce_subject": self.key,
            "ce_time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "content-type": "application/json",
        }
        if self.traceparent is not None:
            attributes["traceparent"] = self.traceparent
        return [(name, value.encode()) for name, value in attributes.items()]


@dataclass(frozen=True, slots=True)
class Fact:
    """A message of a service. Of a dead letter, whose value may be anything, only key, headers and value count."""

    topic: str
    key: str
    type: str
    id: str
    body: dict[str, Any]
    headers: Mapping[str, str]
    value: bytes


@dataclass(slots=True)
class Facts:
    """All facts so far: by type, in the order in which they were read, which for each key is the order of its topic."""

    in_order: list[Fact] = field(default_factory=list)
    dead_letters: list[Fact] = field(default_factory=list)
    billing_events: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The last whole body of each billing event; `registered`, `changed` and `released` facts carry one."""
    _by_type: dict[str, list[Fact]] = field(default_factory=lambda: defaultdict(list))

    def add(self, fact: Fact) -> None:
        """Take one more."""
        if fact.topic in DEAD_LETTER_TOPICS:
            self.dead_letters.append(fact)
            return
        self.in_order.append(fact)
        self._by_type[fact.type].append(fact)
        event = fact.body.get("billing_event")
        if isinstance(event, dict):
            self.billing_events[event["billing_event_id"]] = event

    def of(self, *types: str) -> list[Fact]:
        """All facts of these types, type by type."""
        return [fact for type_ in types for fact in self._by_type[type_]]

    def count(self, type_: str) -> int:
        """How many there are of the type."""
        return len(self._by_type[type_])

    def find(self, type_: str, **fields: Any) -> Fact | None:
        """The last fact of the type whose body has these fields."""
        for fact in reversed(self._by_type[type_]):
            if all(fact.body.get(name) == value for name, value in fields.items()):
                return fact
        return None


class KafkaClient:
    """Sends messages and collects the facts that come after its start. A context manager."""

    def __init__(self, client_options: Mapping[str, Any]) -> None:
        self._options = dict(client_options)
        self._arrived = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None
        self.facts = Facts()

    async def __aenter__(self) -> Self:
        # The fall-back broker has no idempotent producers; whoever is sent twice is recognised by its ce_id.
        self._producer = AIOKafkaProducer(
            acks="all", max_request_size=_BYTES_MAX, linger_ms=5, **self._options
        )
        # Without a group the consumer takes all partitions of its topics, and nobody's offsets are touched.
        self._consumer = AIOKafkaConsumer(
            *FACT_TOPICS,
            *DEAD_LETTER_TOPICS,
            enable_auto_commit=False,
            isolation_level=ISOLATION_LEVEL,
            auto_offset_reset="latest",
            max_partition_fetch_bytes=_BYTES_MAX,
            **self._options,
        )
        await self._producer.start()
        try:
            await self._consumer.start()
            await self._consumer.seek_to_end()
            for partition in self._consumer.assignment():
                await self._consumer.position(partition)
        except BaseException:
            await self._consumer.stop()
            await self._producer.stop()
            raise
        self._reading = asyncio.create_task(self._read(), name="read-facts")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._consumer.stop()
        await self._producer.stop()

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Send them in this order and wait until the broker has them all."""
        for start in range(0, len(messages), _CHUNK_MESSAGES):
            sent = [
                await self._producer.send(
                    message.topic,
                    key=message.key.encode(),
                    value=message.value(),
                    headers=message.headers(),
                )
                for message in messages[start : start + _CHUNK_MESSAGES]
            ]
            await asyncio.gather(*sent)

    async def until(self, look: Callable[[Facts], Seen | None], *, what: str, seconds: float = 120.0) -> Seen:
        """Look whenever facts have come, until something true is seen. Raises WaitError when the time is over."""
        end = time.monotonic() + seconds
        async with self._arrived:
            while not (seen := look(self.facts)):
                remaining_seconds = end - time.monotonic()
                if self._reading is not None and self._reading.done():
                    self._reading.result()
                if remaining_seconds <= 0:
                    raise WaitError(f"{what} did not come within {seconds:g} s")
                try:
                    await asyncio.wait_for(self._arrived.wait(), min(remaining_seconds, 1.0))
                except TimeoutError:
                    continue
            return seen

    async def _read(self) -> None:
        while True:
            fetched = await self._consumer.getmany(timeout_ms=_POLL_MILLISECONDS)
            if not fetched:
                continue
            async with self._arrived:
                for fact in _facts(record for records in fetched.values() for record in records):
                    self.facts.add(fact)
                self._arrived.notify_all()


def _facts(records: Iterable["ConsumerRecord[bytes, bytes]"]) -> Iterable[Fact]:
    for record in records:
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        value = record.value or b""
        yield Fact(
            topic=record.topic,
            key=(record.key or b"").decode("utf-8", "replace"),
            type=headers.get("ce_type", ""),
            id=headers.get("ce_id", ""),
            body={} if record.topic in DEAD_LETTER_TOPICS else json.loads(value),
            headers=headers,
            value=value,
        )
