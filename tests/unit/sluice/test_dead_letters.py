"""What is read of dead letters is read to its end, however slow the broker is."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition

from sluice import dead_letters
from sluice.dead_letters import DeadLetterError, Place, read_dead_letters, read_dead_letters_at
from support.records import raw_record

PARTITION = TopicPartition("release.dead-letters", 0)


class SlowConsumer:
    """Holds two letters, and gives what it is told to at each look: nothing, or the next one."""

    def __init__(self, *gives: bool) -> None:
        self._gives = deque(gives)
        self._place = 0

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self._place = offset

    async def position(self, _partition: TopicPartition) -> int:
        return self._place

    async def getmany(self, *_partitions: TopicPartition, **_options: Any) -> dict[TopicPartition, list[Any]]:
        if not (self._gives and self._gives.popleft()):
            return {}
        self._place += 1
        return {PARTITION: [raw_record(PARTITION.topic, b"{", [], offset=self._place - 1)]}


def reading(monkeypatch: pytest.MonkeyPatch, *gives: bool) -> None:
    @asynccontextmanager
    async def reader(_options: object, _topic: str) -> AsyncIterator[Any]:
        consumer: Any = SlowConsumer(*gives)
        yield dead_letters._Reader(consumer, {PARTITION: 0}, {PARTITION: 2})

    monkeypatch.setattr(dead_letters, "_reader", reader)


async def test_a_broker_that_takes_its_time_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    reading(monkeypatch, *[False] * 5, True, *[False] * 5, True)
    assert [each.place for each in await read_dead_letters({}, "release", letters_max=9)] == [
        Place(0, 0),
        Place(0, 1),
    ]
    reading(monkeypatch, *[False] * 5, True)
    (letter,) = await read_dead_letters_at({}, "release", [Place(0, 1)])
    assert letter.place == Place(0, 1)


async def test_what_cannot_be_read_to_its_end_is_not_half_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "SILENCE_SECONDS_MAX", 0.0)
    reading(monkeypatch, True)
    with pytest.raises(DeadLetterError, match="gave nothing"):
        await read_dead_letters({}, "release", letters_max=9)


async def test_there_is_no_letter_where_none_is(monkeypatch: pytest.MonkeyPatch) -> None:
    reading(monkeypatch)
    with pytest.raises(DeadLetterError, match="0:2"):
        await read_dead_letters_at({}, "release", [Place(0, 2)])
