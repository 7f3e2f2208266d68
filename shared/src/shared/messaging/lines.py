"""The one way in which a service subscribes: FastStream as the shell, its unsafe defaults replaced by our own.

FastStream acknowledges first, drops a whole batch for one header that is not UTF-8, starts at the newest record and
answers to `reply_to` headers unless told otherwise; a test walks all subscribers and asserts what is set here.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from aiokafka import ConsumerRecord
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from shared.kafka_options import ISOLATION_LEVEL
from shared.messaging.batches import BatchNotTakenError, BatchProcessor, Line
from shared.messaging.offsets import Offsets, TakenRecords
from shared.messaging.placing import Placing, position_of
from shared.messaging.polling import BATCH_TIMEOUT_MS, Polling, stable_end_of

HEARTBEAT_INTERVAL_MS: Final = 3_000
POLL_INTERVAL_MS_MAX: Final = 300_000
FETCH_BYTES_MAX: Final = 16 * 1024 * 1024
PARTITION_FETCH_BYTES_MAX: Final = 2 * 1024 * 1024
"""What waits here of each partition while a line catches up. A broker answers with a larger message all the same."""
STUCK_SECONDS_MAX: Final = 60.0

log = structlog.get_logger(__name__)


async def keep_records(message: Any) -> Any:
    """Decode nothing: the handler gets the records as they came, and reads them one by one."""
    return message.raw_message


class _QuietLog(logging.Filter):
    """Drops FastStream's traceback of a batch that was given back on purpose: the kit has said why."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], BatchNotTakenError))


def broker_log() -> logging.Logger:
    """FastStream's own log: warnings and errors only, without what the kit has said already."""
    logger = logging.getLogger("faststream.lines")
    logger.setLevel(logging.WARNING)
    if not logger.filters:
        logger.addFilter(_QuietLog())
    return logger


class Consumer:
    """One line's subscriber, with what health checks ask of it."""

    def __init__(
        self,
        broker: KafkaBroker,
        processor: BatchProcessor,
        line: Line,
        *,
        group: str,
        instance: str,
        session_timeout_seconds: int,
    ) -> None:
        self.line = line
        self.group = group
        self._processor = processor
        self._in_hand_records = 0
        self._level_at = time.monotonic()
        """When nothing was left to take, as far as was looked."""

        offsets = Offsets(lambda: self.subscriber.consumer)

        async def wrap_records(records: Sequence["ConsumerRecord[bytes, bytes]"]) -> TakenRecords:
            first = records[0]
            return TakenRecords(
                body=[record.value for record in records],
                headers={},
                raw_message=tuple(records),
                consumer=self.subscriber.consumer,
                message_id=f"{first.topic}-{first.partition}-{first.offset}",
                correlation_id=f"{first.topic}-{first.partition}-{first.offset}",
                offsets=offsets,
            )

        self.subscriber: Any = broker.subscriber(
            *line.topics,
            batch=True,
            max_records=line.records_max,
            batch_timeout_ms=BATCH_TIMEOUT_MS,
            group_id=group,
            group_instance_id=f"{group}.{instance}",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            auto_offset_reset="earliest",
            isolation_level=ISOLATION_LEVEL,
            no_reply=True,
            partition_assignment_strategy=(StickyPartitionAssignor,),
            session_timeout_ms=session_timeout_seconds * 1_000,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            max_poll_interval_ms=POLL_INTERVAL_MS_MAX,
            fetch_max_bytes=FETCH_BYTES_MAX,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES_MAX,
            parser=wrap_records,
            decoder=keep_records,
        )

        async def take(records: Sequence["ConsumerRecord[bytes, bytes]"]) -> None:
            started = time.monotonic()
            self._in_hand_records = len(records)
            try:
                await processor.take(records)
            finally:
                self._in_hand_records = 0
            await asyncio.sleep(max(0.0, line.pace_seconds - (time.monotonic() - started)))

        self.subscriber(take)
        self._polling = Polling(line.name, Placing(line.name, processor), records_max=line.records_max)
        self.subscriber.get_msg = self._polling.poll  # type: ignore[method-assign]

    @property
    def has_died(self) -> bool:
        """Whether the loop that polls has ended although nobody stopped it."""
        tasks = list(self.subscriber.tasks)
        return not tasks or all(task.done() for task in tasks)

    def lag_records(self) -> int:
        """How many records may be read that this replica has not polled yet, as of the last fetch.

        What an open transaction holds back may not be read, so it is no lag; the markers at the ends of transactions
        take offsets too, and are counted until the next poll has passed them.
        """
        consumer = self.subscriber.consumer
        if consumer is None:
            return 0
        lag = 0
        for partition in consumer.assignment():
            end, position = stable_end_of(consumer, partition), position_of(consumer, partition)
            if end is not None and position is not None:
                lag += max(0, end - position)
        if not lag and not self._in_hand_records:
            self._level_at = time.monotonic()
        return lag

    def _held_back_records(self) -> int:
        """How many offsets lie behind the first one of a transaction that is still open."""
        consumer = self.subscriber.consumer
        held_back = 0
        for partition in consumer.assignment():
            end, stable_end = consumer.highwater(partition), stable_end_of(consumer, partition)
            if end is not None and stable_end is not None:
                held_back += max(0, end - stable_end)
        return held_back

    @property
    def gap(self) -> str | None:
        """What the line cannot read any more, in a sentence; the service has to stop then."""
        return self._polling.placing.gap

    async def check(self) -> str | None:
        """Raise if the line cannot go on; a sentence about it otherwise."""
        if self.has_died:
            raise RuntimeError("the consumer has died")
        if self._processor.is_paused:
            raise RuntimeError("paused: most of the last records are bad")
        if self._processor.stopped_by is not None:
            raise RuntimeError(f"stopped by a fault of ours: {self._processor.stopped_by}")
        if self._polling.unreadable is not None:
            raise RuntimeError(self._polling.unreadable)
        lag = self.lag_records()
        # A line that had nothing to do for an hour is not stuck when the next record comes.
        silent_seconds = time.monotonic() - max(self._processor.last_taken_at, self._level_at)
        if lag and silent_seconds > STUCK_SECONDS_MAX:
            raise RuntimeError(f"{lag} records wait and none was taken for {int(silent_seconds)} s")
        if self.subscriber.consumer is None or not self.subscriber.consumer.assignment():
            return "no partitions are assigned to this replica"
        held_back = self._held_back_records()
        return f"{lag} records behind" + (
            f", {held_back} held back by an open transaction" if held_back else ""
        )
