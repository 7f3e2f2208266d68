"""The outside world of a benchmark: sends what PSA sends, releases events as they register, and sees documents come."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from shared.kafka_options import ISOLATION_LEVEL
from sluice.benchmarks.sample import Prepared, Sample

REGISTERED: Final = "release.billing-event.registered.v1"
INVOICED: Final = "release.billing-event.invoiced.v1"
VALIDATED: Final = "accounting.document.validated.v1"
REFUSED: Final = "release.billing-event.refused.v1"
NOT_PASSED: Final = "accounting.billing-event.not-passed.v1"

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""What topics carry (contract.md section 1)."""

_SEND_MESSAGES: Final = 1_000
_POLL_SECONDS: Final = 0.1
_STALL_SECONDS_MAX: Final = 60.0
_SOURCES_SECONDS_MAX: Final = 120.0

_SOURCES_KNOWN: Final = """
select (select count(*) from release.projects where project_id like $1)
  + (select count(*) from release.business_records where record_id like $1)
  + (select count(*) from accounting_connector.accounts where account_id like $1)
  + (select count(*) from accounting_connector.companies where company_id like $1)
"""


class StallError(RuntimeError):
    """Nothing more came although something was to come."""


@dataclass(slots=True)
class Seen:
    """When the facts about events came, by type and event id, in seconds of `time.perf_counter`."""

    at: dict[str, dict[str, float]] = field(
        default_factory=lambda: {each: {} for each in (REGISTERED, INVOICED, VALIDATED)}
    )
    refused: deque[bytes] = field(default_factory=lambda: deque(maxlen=5))
    last_at: float = field(default_factory=time.perf_counter)


OnRegistered = Callable[[Sequence[str]], Awaitable[None]]


class Driver:
    """Sends and reads. A context manager; it reads from where the topics end when it begins.

    It sees the facts about its sample alone: what another driver left under way may still be told of.
    """

    def __init__(self, client_options: Mapping[str, Any], sample: Sample) -> None:
        self._options = dict(client_options)
        self._sample = sample
        self._reading: asyncio.Task[None] | None = None
        self._releasing: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self.seen = Seen()

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(
            acks="all",
            linger_ms=5,
            max_batch_size=256 * 1024,
            max_request_size=MESSAGE_BYTES_MAX,
            **self._options,
        )
        self._consumer = AIOKafkaConsumer(
            "release.events",
            "accounting.events",
            enable_auto_commit=False,
            isolation_level=ISOLATION_LEVEL,
            auto_offset_reset="latest",
            fetch_max_wait_ms=100,
            **self._options,
        )
        await self._producer.start()
        await self._consumer.start()
        await self._consumer.seek_to_end()
        for partition in self._consumer.assignment():
            await self._consumer.position(partition)
        self._reading = asyncio.create_task(self._read(), name="read-facts")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, *self._releasing, return_exceptions=True)
        await self._consumer.stop()
        await self._producer.stop()

    async def send(self, messages: Iterable[Prepared]) -> None:
        """Send them in this order and wait until the broker has them all."""
        pending: list[asyncio.Future[Any]] = []
        for message in messages:
            pending.append(
                await self._producer.send(
                    message.topic, message.value, key=message.key, headers=message.headers
                )
            )
            if len(pending) == _SEND_MESSAGES:
                await asyncio.gather(*pending)
                pending.clear()
        await asyncio.gather(*pending)

    async def send_sources(self, administrator_url: str) -> None:
        """Send projects, accounts, companies and records, and wait until release and connector know them."""
        await self.send(self._sample.sources())
        sample = self._sample
        expected = sample.projects * 2 + sample.business_records + 1
        connection = await asyncpg.connect(administrator_url)
        try:
            async with asyncio.timeout(_SOURCES_SECONDS_MAX):
                while await connection.fetchval(_SOURCES_KNOWN, f"{sample.code}-%") < expected:  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_SECONDS)
        finally:
            await connection.close()

    async def until(self, message_type: str, count: int) -> None:
        """Wait until facts of this type about so many events have come. Raises StallError if no more come."""
        seen = self.seen
        while len(seen.at[message_type]) < count:
            if self._reading is not None and self._reading.done():
                self._reading.result()
            if self._failure is not None:
                raise self._failure
            if time.perf_counter() - seen.last_at > _STALL_SECONDS_MAX:
                told = ", ".join(f"{len(times):,} {name}" for name, times in seen.at.items())
                raise StallError(f"nothing came for {_STALL_SECONDS_MAX:g} s; {told}; {list(seen.refused)}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(self) -> None:
        while True:
            fetched = await self._consumer.getmany(timeout_ms=200)
            now = time.perf_counter()
            for records in fetched.values():
                self.seen.last_at = now
                registered = [event_id for record in records for event_id in self._note(record, now)]
                # Not waited for: what comes meanwhile is to be seen when it comes.
                releasing = asyncio.create_task(self.send(map(self._sample.release, registered)))
                self._releasing.add(releasing)
                releasing.add_done_callback(self._released)

    def _released(self, releasing: "asyncio.Task[None]") -> None:
        self._releasing.discard(releasing)
        if not releasing.cancelled():
            self._failure = self._failure or releasing.exception()

    def _note(self, record: "ConsumerRecord[bytes, bytes]", now: float) -> list[str]:
        """Note a fact; gives the ids of the events that are to be released now."""
        message_type = next(value for name, value in record.headers if name == "ce_type").decode()
        if message_type in {REFUSED, NOT_PASSED}:
            self.seen.refused.append(record.value)
        times = self.seen.at.get(message_type)
        if times is None:
            return []
        ids = [
            each for each in _event_ids(message_type, orjson.loads(record.value)) if self._sample.has(each)
        ]
        for event_id in ids:
            times.setdefault(event_id, now)
        return ids if message_type == REGISTERED else []


def _event_ids(message_type: str, body: Mapping[str, Any]) -> list[str]:
    if message_type == REGISTERED:
        return [body["billing_event"]["billing_event_id"]]
    if message_type == VALIDATED:
        return list(body["billing_event_ids"])
    return [body["billing_event_id"]]
