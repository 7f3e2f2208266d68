"""Offsets are committed after their batches, at once after a quiet time, and together in a steady stream."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, ConsumerStoppedError

from shared.messaging.offsets import Offsets

FIRST, SECOND = TopicPartition("topic", 0), TopicPartition("topic", 1)


class Group:
    """What the offsets need of a consumer: what is assigned to it, and what it has committed."""

    def __init__(self) -> None:
        self.assigned = {FIRST, SECOND}
        self.commits: list[dict[TopicPartition, int]] = []
        self.failures: list[Exception] = []
        self.committed = asyncio.Condition()

    def assignment(self) -> set[TopicPartition]:
        return self.assigned

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self.failures:
            raise self.failures.pop()
        async with self.committed:
            self.commits.append(dict(offsets))
            self.committed.notify_all()

    async def until(self, commits: int) -> None:
        async with asyncio.timeout(60), self.committed:
            await self.committed.wait_for(lambda: len(self.commits) >= commits)


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def offsets(group: Group) -> Offsets:
    return Offsets(lambda: cast("AIOKafkaConsumer", group))


def batch(*places: tuple[TopicPartition, int]) -> list["ConsumerRecord[bytes, bytes]"]:
    def record(partition: TopicPartition, offset: int) -> Any:
        return ConsumerRecord(
            topic=partition.topic,
            partition=partition.partition,
            offset=offset,
            timestamp=0,
            timestamp_type=0,
            key=None,
            value=b"",
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            headers=(),
        )

    return [record(partition, offset) for partition, offset in places]


async def test_the_first_batch_is_committed_at_once(group: Group, offsets: Offsets) -> None:
    await offsets.take(batch((FIRST, 6), (FIRST, 7), (SECOND, 3)))
    assert group.commits == [{FIRST: 8, SECOND: 4}]


async def test_a_steady_stream_is_committed_together_and_never_forgotten(
    group: Group, offsets: Offsets
) -> None:
    for offset in range(50):
        await offsets.take(batch((FIRST, offset)))
    await group.until(commits=2)
    assert group.commits == [{FIRST: 1}, {FIRST: 50}]


async def test_partitions_that_another_replica_has_now_are_left_to_it(group: Group, offsets: Offsets) -> None:
    await offsets.take(batch((FIRST, 0)))
    await offsets.take(batch((FIRST, 1), (SECOND, 1)))
    group.assigned = {SECOND}
    await group.until(commits=2)
    assert group.commits[1] == {SECOND: 2}


@pytest.mark.parametrize(
    "failure", [CommitFailedError(), ConsumerStoppedError()], ids=lambda each: type(each).__name__
)
async def test_a_commit_that_fails_costs_no_batch(group: Group, offsets: Offsets, failure: Exception) -> None:
    group.failures.append(failure)
    await offsets.take(batch((FIRST, 0)))
    assert group.commits == []
    await offsets.take(batch((FIRST, 1)))
    await group.until(commits=1)
    assert group.commits == [{FIRST: 2}]
