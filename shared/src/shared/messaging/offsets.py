"""Committing what has been taken: the offsets of a line's batches, not more often than the broker needs to hear it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from faststream.kafka.message import KafkaAckableMessage
from faststream.message import AckStatus

COMMIT_SECONDS: Final = 0.2
"""What a crash may have delivered again: its ids are known, so it has no second effect (inbox)."""

log = structlog.get_logger(__name__)


class Offsets:
    """The offsets of one subscriber. After a quiet time they are committed at once, else at most every COMMIT_SECONDS.

    Each commit waits for the broker and costs it a record of its own; a line that takes many small batches would spend
    more on it than on them. Only offsets of batches whose transaction has committed are ever told.
    """

    def __init__(self, consumer_of: Callable[[], "AIOKafkaConsumer | None"]) -> None:
        self._consumer_of = consumer_of
        self._taken: dict[TopicPartition, int] = {}
        self._committed_at = 0.0
        self._later: asyncio.Task[None] | None = None

    async def take(self, records: Sequence["ConsumerRecord[bytes, bytes]"]) -> None:
        """Note a batch whose effect has been committed, and commit its offsets, now or soon."""
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            self._taken[partition] = max(record.offset + 1, self._taken.get(partition, 0))
        if self._later is not None and not self._later.done():
            return
        wait_seconds = self._committed_at + COMMIT_SECONDS - time.monotonic()
        if wait_seconds <= 0:
            await self.commit()
        else:
            self._later = asyncio.create_task(self._commit_after(wait_seconds), name="commit-offsets")

    async def commit(self) -> None:
        """Commit what was taken, of the partitions that are still ours. A failure costs a redelivery, and is logged."""
        taken, self._taken = self._taken, {}
        self._committed_at = time.monotonic()
        consumer = self._consumer_of()
        if consumer is None:
            return
        ours = consumer.assignment()
        offsets = {partition: offset for partition, offset in taken.items() if partition in ours}
        if not offsets:
            return
        try:
            await consumer.commit(offsets)
        except (KafkaError, ConsumerStoppedError) as error:
            log.warning("offsets were not committed, records will come again", reason=type(error).__name__)

    async def _commit_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.commit()


class TakenRecords(KafkaAckableMessage):
    """A batch whose acknowledgement is left to `Offsets`; a NACK still seeks back to its first records."""

    def __init__(self, *args: Any, offsets: Offsets, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offsets = offsets

    async def ack(self) -> None:
        """Commit the offsets of the records, now or soon."""
        if not self.committed:
            await self._offsets.take(self.raw_message)
            self.committed = AckStatus.ACKED
