"""Polling a line's consumer so that a partition which cannot be read holds up no other, and nobody's records are lost.

aiokafka raises for the first batch that it cannot read: bytes that were damaged, a codec or a right that is missing.
It forgets the good records that the same call has passed by then, of that partition and of others. So whatever a failed
call may have passed is read again, the culprit is looked for one partition at a time, and is held alone.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

from shared.backoff import Backoff
from shared.messaging.placing import Placing, position_of
from shared.telemetry import metrics
from shared.trouble import Trouble

BATCH_TIMEOUT_MS: Final = 20
HOLD_SECONDS_FIRST: Final = 5.0
HOLD_SECONDS_MAX: Final = 60.0
DOUBT_SECONDS_MAX: Final = 10.0
"""How long partitions are polled one at a time before they are trusted together again."""
_OF_ONE_PARTITION: Final = (
    CorruptRecordException,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)
_NARROWING: Final = 8
_PLACE_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Held:
    """A partition that cannot be read: why, from which offset on, and until when it is left alone."""

    reason: str
    offset: int | None
    ends: float


class Polling:
    """Gives a line the next records of its consumer."""

    def __init__(self, line: str, placing: Placing, *, records_max: int) -> None:
        self._line = line
        self.placing = placing
        self._records_max = records_max
        self._doubted: dict[TopicPartition, int] = {}
        """Partitions that are polled alone, and how many records are asked of each."""
        self._doubt_ends = 0.0
        self._others_turn = False
        self._held: dict[TopicPartition, _Held] = {}
        self._backoffs: dict[TopicPartition, Backoff] = {}

    @property
    def unreadable(self) -> str | None:
        """What cannot be read, in a sentence; None while everything can."""
        if not self._held:
            return None
        places = ", ".join(
            f"{partition.topic}/{partition.partition} at offset {held.offset} ({held.reason})"
            for partition, held in sorted(self._held.items())
        )
        return f"cannot read {places}; the other partitions go on"

    async def poll(self, consumer: Any) -> "tuple[ConsumerRecord[bytes, bytes], ...]":
        """The next records, none after a short wait. Raises KafkaError for what is wrong with no single partition."""
        if not await self.placing.place(consumer):
            await asyncio.sleep(_PLACE_SECONDS)
            return ()
        self._begin(consumer)
        alone, asked = self._whose_turn(consumer)
        reached = {each: position_of(consumer, each) for each in asked or consumer.assignment()}
        records_max = self._records_max if alone is None else self._doubted[alone]
        try:
            fetched = await consumer.getmany(*asked, timeout_ms=BATCH_TIMEOUT_MS, max_records=records_max)
        except ConsumerStoppedError:
            raise
        except Exception as error:
            await self._read_again(consumer, reached)
            if isinstance(error, KafkaError) and not isinstance(error, _OF_ONE_PARTITION):
                raise
            if not self._doubt(consumer, alone, error):
                raise
            await asyncio.sleep(BATCH_TIMEOUT_MS / 1_000)
            return ()
        if alone is not None:
            self._trust(consumer, alone, bool(fetched))
        self.placing.note_read(fetched)
        if not fetched:
            await self.placing.pass_over(consumer)
            await asyncio.sleep(BATCH_TIMEOUT_MS / 1_000)
        return tuple(chain(*fetched.values()))

    def _begin(self, consumer: Any) -> None:
        """Forget partitions that are no longer ours, and try those again whose time has come."""
        ours = consumer.assignment()
        for known in (self._doubted, self._held, self._backoffs):
            for partition in known.keys() - ours:
                del known[partition]
        now = time.monotonic()
        for partition, held in self._held.items():
            if held.ends <= now and partition not in self._doubted:
                consumer.resume(partition)
                self._doubted[partition] = 1
                self._doubt_ends = now + DOUBT_SECONDS_MAX
        if self._doubted and now > self._doubt_ends:
            self._doubted.clear()

    def _whose_turn(self, consumer: Any) -> tuple[TopicPartition | None, list[TopicPartition]]:
        """The doubted partition to poll alone, if it is one's turn, and what to ask for; nothing asks for all.

        The doubted ones take turns, and each second time those that are not doubted have theirs, together.
        """
        if not self._doubted:
            return None, []
        self._others_turn = not self._others_turn
        others = [
            each for each in consumer.assignment() if each not in self._doubted and each not in self._held
        ]
        if self._others_turn and others:
            return None, others
        partition = next(iter(self._doubted))
        self._doubted[partition] = self._doubted.pop(partition)
        return partition, [partition]

    async def _read_again(self, consumer: Any, reached: Mapping[TopicPartition, int | None]) -> None:
        """Go back to where the partitions were; one that was not known to be anywhere begins where its group is."""
        for partition, offset in reached.items():
            if offset is not None and partition in consumer.assignment():
                consumer.seek(partition, offset)
        trouble = Trouble()
        for partition in [each for each, offset in reached.items() if offset is None]:
            while partition in consumer.assignment():
                try:
                    committed = await consumer.committed(partition)
                    if committed is None:
                        await consumer.seek_to_beginning(partition)
                    elif partition in consumer.assignment():
                        consumer.seek(partition, committed)
                    break
                except (KafkaError, IllegalStateError) as error:
                    reason = type(error).__name__
                    if trouble.begins(reason):
                        log.warning("partition not placed yet, trying again", reason=reason)
                    await asyncio.sleep(_PLACE_SECONDS)

    def _doubt(self, consumer: Any, alone: TopicPartition | None, error: Exception) -> bool:
        """Look for the culprit: first all partitions, then fewer and fewer records of the one that has failed.

        Returns False if there is none to look for.
        """
        now = time.monotonic()
        self._doubt_ends = now + DOUBT_SECONDS_MAX
        if alone is None:
            waiting = sorted(consumer.assignment() - self._held.keys())
            self._doubted = dict.fromkeys(waiting, self._records_max) | self._doubted
            return bool(waiting)
        if self._doubted[alone] > 1:
            self._doubted[alone] = max(1, self._doubted[alone] // _NARROWING)
            return True
        del self._doubted[alone]
        backoff = self._backoffs.setdefault(alone, Backoff(HOLD_SECONDS_FIRST, HOLD_SECONDS_MAX))
        hold_seconds = backoff.failed()
        held = _Held(type(error).__name__, position_of(consumer, alone), now + hold_seconds)
        self._held[alone] = held
        consumer.pause(alone)
        metrics.count_own_fault(f"line {self._line}")
        log.error(
            "partition cannot be read, the others go on",
            line=self._line,
            topic=alone.topic,
            partition=alone.partition,
            offset=held.offset,
            reason=held.reason,
            hold_seconds=round(hold_seconds, 3),
        )
        return True

    def _trust(self, consumer: Any, alone: TopicPartition, has_records: bool) -> None:
        """Poll a partition with the others again, once it has shown that it can be read, or has nothing to read."""
        if has_records and alone in self._held:
            del self._held[alone]
            self._backoffs.pop(alone, None)
            log.info("partition can be read again", topic=alone.topic, partition=alone.partition)
            del self._doubted[alone]
        elif self._doubted[alone] == self._records_max and (has_records or _is_level(consumer, alone)):
            del self._doubted[alone]


def _is_level(consumer: Any, partition: TopicPartition) -> bool:
    end, position = stable_end_of(consumer, partition), position_of(consumer, partition)
    return end is not None and position is not None and position >= end


def stable_end_of(consumer: Any, partition: TopicPartition) -> int | None:
    """The last stable offset; a broker without transactions tells none. None before the first fetch."""
    stable: int | None = consumer.last_stable_offset(partition)
    end: int | None = consumer.highwater(partition)
    return end if stable is None or stable < 0 else stable
