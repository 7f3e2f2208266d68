"""A partition that cannot be read is found and held, and the others go on (domain.md section 7)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, GroupAuthorizationFailedError

from shared.messaging import polling
from shared.messaging.placing import Placing
from shared.messaging.polling import Polling

FIRST, SECOND = TopicPartition("topic", 0), TopicPartition("topic", 1)


class Record:
    """What polling looks at of a record: nothing, but where it was."""

    def __init__(self, partition: TopicPartition, offset: int) -> None:
        self.place = (partition.partition, offset)


class Consumer:
    """A consumer that forgets what it has passed when it meets a bad offset, as aiokafka's does."""

    def __init__(self, ends: dict[TopicPartition, int], bad: dict[TopicPartition, int]) -> None:
        self.ends, self.bad = ends, bad
        self.positions = dict.fromkeys(ends, 0)
        self.paused: set[TopicPartition] = set()
        self.failure: Exception | None = None

    def assignment(self) -> set[TopicPartition]:
        return set(self.ends)

    def last_stable_offset(self, partition: TopicPartition) -> int:
        return self.ends[partition]

    highwater = last_stable_offset

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def pause(self, partition: TopicPartition) -> None:
        self.paused.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        self.paused.discard(partition)

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Record]]:
        if self.failure is not None:
            raise self.failure
        found: dict[TopicPartition, list[Record]] = {}
        for partition in partitions or sorted(self.ends):
            while partition not in self.paused and self.positions[partition] < self.ends[partition]:
                if sum(map(len, found.values())) == max_records:
                    return found
                if self.positions[partition] == self.bad.get(partition):
                    raise CorruptRecordException
                found.setdefault(partition, []).append(Record(partition, self.positions[partition]))
                self.positions[partition] += 1
        return found


class Placed(Placing):
    """Partitions begin where they are."""

    def __init__(self) -> None:
        super().__init__("psa", Unknown())

    async def place(self, consumer: Any) -> bool:
        return True

    def note_read(self, fetched: object) -> None:
        pass

    async def pass_over(self, consumer: Any) -> None:
        pass


class Unknown:
    """A database that knows of no partition."""

    async def known_offsets(self) -> dict[tuple[str, int], int]:
        return {}

    async def pass_to(self, offsets: Mapping[tuple[str, int], int]) -> None:
        pass


def polling_of() -> Polling:
    return Polling("psa", Placed(), records_max=500)


@pytest.fixture(autouse=True)
def placed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "position_of", lambda consumer, partition: consumer.positions[partition])
    monkeypatch.setattr(polling, "BATCH_TIMEOUT_MS", 0)


async def poll_until(line: Polling, consumer: Consumer, places: Sequence[tuple[int, int]]) -> None:
    """Poll until exactly these records have come, each once."""
    seen: list[tuple[int, int]] = []
    async with asyncio.timeout(60):
        while len(seen) < len(places):
            seen += [record.place for record in await line.poll(consumer)]
    assert sorted(seen) == sorted(places)


async def test_all_that_can_be_read_comes_once_and_the_rest_when_it_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(polling, "HOLD_SECONDS_FIRST", 0.0)
    monkeypatch.setattr(polling, "HOLD_SECONDS_MAX", 0.0)
    consumer = Consumer({FIRST: 900, SECOND: 700}, bad={SECOND: 650})
    line = polling_of()
    before = [(0, offset) for offset in range(900)] + [(1, offset) for offset in range(650)]
    await poll_until(line, consumer, before)
    while line.unreadable is None:
        assert await line.poll(consumer) == ()
    assert line.unreadable == (
        "cannot read topic/1 at offset 650 (CorruptRecordException); the other partitions go on"
    )
    consumer.bad.clear()
    await poll_until(line, consumer, [(1, offset) for offset in range(650, 700)])
    assert line.unreadable is None
    assert consumer.paused == set()


async def test_new_records_of_others_come_while_a_partition_is_held() -> None:
    consumer = Consumer({FIRST: 5, SECOND: 5}, bad={SECOND: 0})
    line = polling_of()
    await poll_until(line, consumer, [(0, offset) for offset in range(5)])
    while line.unreadable is None:
        assert await line.poll(consumer) == ()
    consumer.ends[FIRST] = 9
    await poll_until(line, consumer, [(0, offset) for offset in range(5, 9)])
    assert consumer.paused == {SECOND}


async def test_what_is_wrong_with_no_single_partition_is_raised() -> None:
    consumer = Consumer({FIRST: 5}, bad={})
    consumer.failure = GroupAuthorizationFailedError("group")
    with pytest.raises(GroupAuthorizationFailedError):
        await polling_of().poll(consumer)
    nothing = Consumer({}, bad={})
    nothing.failure = CorruptRecordException()
    with pytest.raises(CorruptRecordException):
        await polling_of().poll(nothing)
