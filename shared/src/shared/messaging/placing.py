"""Placing a line's consumer where its database says, whenever partitions are assigned, and keeping both in step."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog
from aiokafka import ConsumerRecord, TopicPartition

from shared.backoff import Backoff
from shared.messaging.places import GapError, Place
from shared.telemetry.logs import describe
from shared.trouble import Trouble

BACKOFF_SECONDS_FIRST: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 10.0

log: Final = structlog.get_logger(__name__)


class Positions(Protocol):
    """What the database knows of the partitions of one line."""

    async def known_offsets(self) -> dict[tuple[str, int], int]:
        """The next offset of each partition that was read from."""

    async def pass_to(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Note that there is nothing more before these offsets."""


def position_of(consumer: Any, partition: TopicPartition) -> int | None:
    """Where the consumer is in the partition; None if it does not know yet. aiokafka's own call would wait."""
    assignment = consumer._subscription.subscription.assignment  # noqa: SLF001
    state = assignment.state_value(partition) if assignment else None
    return state.position if state is not None and state.has_valid_position else None


class Placing:
    """Begins partitions where they are to begin. `gap` says what is lost: the line reads nothing then."""

    def __init__(self, line: str, positions: Positions) -> None:
        self._line = line
        self._positions = positions
        self._assignment: object = None
        self._passed: dict[TopicPartition, int] = {}
        self._backoff = Backoff(BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MAX)
        self._trouble = Trouble()
        self._tells_at = 0.0
        self.gap: str | None = None

    async def place(self, consumer: Any) -> bool:
        """Look where each partition of a new assignment is to begin; False if that cannot be said now, or never."""
        if self.gap is not None:
            return False
        assignment = consumer._subscription.subscription.assignment  # noqa: SLF001
        if assignment is self._assignment:
            return True
        partitions = sorted(consumer.assignment())
        try:
            places = await self._look(consumer, partitions)
            begins = {partition: place.begin() for partition, place in places.items()}
            for partition, offset in begins.items():
                if offset is not None:
                    consumer.seek(partition, offset)
        except GapError as error:
            self.gap = str(error)
            return False
        except Exception as error:  # noqa: BLE001 - nothing may be read before it is known where to begin
            if self._trouble.begins(type(error).__name__):
                log.warning("partitions not placed yet, trying again", line=self._line, **describe(error))
            await self._backoff.wait()
            return False
        self._backoff.succeeded()
        if self._trouble.ends():
            log.info("partitions are placed", line=self._line)
        self._tell(places, begins)
        self._passed = {partition: place.known or 0 for partition, place in places.items()}
        self._assignment = assignment
        return True

    async def _look(self, consumer: Any, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Place]:
        if not partitions:
            return {}
        known = await self._positions.known_offsets()
        beginnings = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        return {
            partition: Place(
                topic=partition.topic,
                partition=partition.partition,
                known=known.get((partition.topic, partition.partition)),
                committed=await consumer.committed(partition),
                beginning=beginnings[partition],
                end=ends[partition],
            )
            for partition in partitions
        }

    def _tell(
        self, places: Mapping[TopicPartition, Place], begins: Mapping[TopicPartition, int | None]
    ) -> None:
        for partition, place in places.items():
            if begins[partition] is not None and place.committed is not None:
                log.warning(
                    "the database has read less than its group was told, reading again",
                    line=self._line,
                    topic=place.topic,
                    partition=place.partition,
                    database_offset=place.known,
                    group_offset=place.committed,
                    begins_at=begins[partition],
                )

    def note_read(self, fetched: Mapping[TopicPartition, Collection["ConsumerRecord[bytes, bytes]"]]) -> None:
        """Note what was polled, of which the database hears with its effect."""
        for partition, records in fetched.items():
            self._passed[partition] = max(
                self._passed.get(partition, 0), max(record.offset for record in records) + 1
            )

    async def pass_over(self, consumer: Any) -> None:
        """Tell the database of offsets at which nothing is, now that all before them was taken.

        Else a partition that retention empties would begin behind them, and look as if something was lost.
        """
        if time.monotonic() < self._tells_at:
            return
        passed = {
            partition: position
            for partition in consumer.assignment()
            if (position := position_of(consumer, partition)) is not None
            and position > self._passed.get(partition, 0)
        }
        if not passed:
            return
        try:
            await self._positions.pass_to({(each.topic, each.partition): at for each, at in passed.items()})
        except Exception as error:  # noqa: BLE001 - it is tried again later
            log.warning("offsets passed over were not noted", line=self._line, **describe(error))
            self._tells_at = time.monotonic() + BACKOFF_SECONDS_MAX
        else:
            self._passed |= passed
