"""Kafka as an outsider uses it: records are sent until the broker has them, facts are followed, topics read whole."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from shared.kafka_options import ISOLATION_LEVEL
from sluice.topics import read_topics
from support.load.records import Record

SEND_SECONDS_MAX: Final = 180.0
BYTES_MAX: Final = 20 * 1024 * 1024
_REQUEST_MILLISECONDS: Final = 15_000
_POLL_MILLISECONDS: Final = 200
_READ_SECONDS_MAX: Final = 180.0

OnRecord = Callable[["ConsumerRecord[bytes, bytes]"], Awaitable[None]]


class Sender:
    """Sends records; what a broker that was away has not taken is sent again. A context manager."""

    def __init__(self, client_options: Mapping[str, Any]) -> None:
        self._options = dict(client_options)
        self.sent: list[Record] = []

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(
            acks="all",
            enable_idempotence=True,
            max_request_size=BYTES_MAX,
            linger_ms=5,
            request_timeout_ms=_REQUEST_MILLISECONDS,
            **self._options,
        )
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def send(self, records: Sequence[Record]) -> None:
        """Send them in this order and wait until the broker has them all. Raises the last error after a limit."""
        end = time.monotonic() + SEND_SECONDS_MAX
        self.sent += records
        waiting = list(records)
        while waiting:
            results = await self._try(waiting)
            failed = [
                (record, result)
                for record, result in zip(waiting, results, strict=True)
                if isinstance(result, BaseException)
            ]
            if failed and time.monotonic() > end:
                raise failed[0][1]
            waiting = [record for record, _ in failed]

    async def _try(self, records: Sequence[Record]) -> list[Any]:
        pending: list[Any] = []
        for record in records:
            try:
                pending.append(
                    await self._producer.send(
                        record.topic, record.value, key=record.key, headers=list(record.headers)
                    )
                )
            except KafkaError as error:
                pending.append(_failed(error))
        return list(await asyncio.gather(*pending, return_exceptions=True))


def _failed(error: KafkaError) -> "asyncio.Future[Any]":
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


class Follower:
    """Reads topics from where they end at its start, and hands every record on. A context manager."""

    def __init__(self, client_options: Mapping[str, Any], topics: Sequence[str], on_record: OnRecord) -> None:
        self._consumer = AIOKafkaConsumer(
            enable_auto_commit=False,
            isolation_level=ISOLATION_LEVEL,
            auto_offset_reset="latest",
            max_partition_fetch_bytes=BYTES_MAX,
            **client_options,
        )
        self._partitions = partitions_of(topics)
        self._on_record = on_record
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(self._partitions)
        for partition in self._partitions:
            await self._consumer.position(partition)
        self._reading = asyncio.create_task(self._read(), name="follow")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        # With the broker away, aiokafka's own tasks are cancelled inside; that must not hide what went wrong before.
        with contextlib.suppress(asyncio.CancelledError):
            await self._consumer.stop()

    def check(self) -> None:
        """Raise what ended the reading, if it has ended."""
        if self._reading is not None and self._reading.done():
            self._reading.result()

    async def _read(self) -> None:
        while True:
            fetched = await self._consumer.getmany(timeout_ms=_POLL_MILLISECONDS)
            for records in fetched.values():
                for record in records:
                    await self._on_record(record)


def partitions_of(topics: Sequence[str]) -> list[TopicPartition]:
    """All partitions of the topics, as they were made.

    A broker that is just coming back does not know of all of them at first; who subscribes would miss the others.
    """
    counts = {topic.name: topic.partitions for topic in read_topics()}
    return [TopicPartition(topic, number) for topic in topics for number in range(counts[topic])]


async def end_offsets(client_options: Mapping[str, Any], topics: Sequence[str]) -> dict[tuple[str, int], int]:
    """The end of every partition of the topics."""
    async with reading(client_options, topics) as consumer:
        return await ends_of(consumer, topics)


async def ends_of(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> dict[tuple[str, int], int]:
    """The same, as this consumer sees it now."""
    ends = await consumer.end_offsets(partitions_of(topics))
    return {(partition.topic, partition.partition): end for partition, end in ends.items()}


async def read_whole(
    client_options: Mapping[str, Any], topics: Sequence[str]
) -> list["ConsumerRecord[bytes, bytes]"]:
    """Every record that the topics hold now, in the order of each partition."""
    return await read_on(client_options, topics, {})


async def read_on(
    client_options: Mapping[str, Any], topics: Sequence[str], reached: Mapping[tuple[str, int], int]
) -> list["ConsumerRecord[bytes, bytes]"]:
    """Every record that the topics hold now from these offsets on, the first where none is given."""
    found: list[ConsumerRecord[bytes, bytes]] = []
    end = time.monotonic() + _READ_SECONDS_MAX
    async with reading(client_options, topics) as consumer:
        partitions = partitions_of(topics)
        ends = await consumer.end_offsets(partitions)
        for each in partitions:
            consumer.seek(each, reached.get((each.topic, each.partition), 0))
        while waiting := [each for each in partitions if await consumer.position(each) < ends[each]]:
            assert time.monotonic() < end, f"{waiting} could not be read to the end"
            for records in (await consumer.getmany(*waiting, timeout_ms=_POLL_MILLISECONDS)).values():
                found += [
                    record
                    for record in records
                    if record.offset < ends[TopicPartition(record.topic, record.partition)]
                ]
    return found


@contextlib.asynccontextmanager
async def reading(
    client_options: Mapping[str, Any], topics: Sequence[str]
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group that has all partitions of the topics."""
    consumer = AIOKafkaConsumer(
        enable_auto_commit=False,
        isolation_level=ISOLATION_LEVEL,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=BYTES_MAX,
        fetch_max_bytes=BYTES_MAX,
        **client_options,
    )
    await consumer.start()
    try:
        consumer.assign(partitions_of(topics))
        yield consumer
    finally:
        await consumer.stop()
