"""What a database has not read and its topic has no more: found, and gone on without (architecture.md, "Restore")."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.kafka_options import ISOLATION_LEVEL
from shared.messaging.places import Place
from sluice.services import SERVICES, LocalService

_CONNECT_SECONDS_MAX: Final = 15

# The parts are schema names of ours; every value is a parameter.
_POSITIONS: Final = (
    "select line, topic, partition, next_offset from {schema}.consumed_positions order by 1, 2, 3"
)
_GO_ON: Final = """
update {schema}.consumed_positions set next_offset = $4
where line = $1 and topic = $2 and partition = $3 and next_offset = $5
"""


@dataclass(frozen=True, slots=True)
class Gap:
    """A partition that a line of a service cannot go on with: where its database is, and where the topic is."""

    service: str
    line: str
    topic: str
    partition: int
    known: int
    beginning: int
    end: int

    def shown(self) -> dict[str, Any]:
        """As a row."""
        return asdict(self)


async def accept_gaps(
    administrator_url: str,
    options: Mapping[str, Any],
    *,
    only_show: bool,
    services: Sequence[LocalService] = SERVICES,
) -> list[Gap]:
    """All gaps of these services; unless they are only to be shown, their lines go on at the beginning of the topic.

    Raises KafkaError, asyncpg.PostgresError or OSError.
    """
    connection = await asyncpg.connect(administrator_url, timeout=_CONNECT_SECONDS_MAX)
    try:
        async with AIOKafkaConsumer(isolation_level=ISOLATION_LEVEL, **options) as consumer:
            gaps = [gap for service in services for gap in await _gaps_of(connection, consumer, service)]
        if not only_show:
            async with connection.transaction():
                for gap in gaps:
                    statement = _GO_ON.format(schema=_schema_of(gap.service, services))
                    await connection.execute(
                        statement, gap.line, gap.topic, gap.partition, gap.beginning, gap.known
                    )
        return gaps
    finally:
        await connection.close()


def _schema_of(name: str, services: Sequence[LocalService]) -> str:
    return next(service.module for service in services if service.name == name)


async def _gaps_of(
    connection: "asyncpg.Connection[Any]", consumer: AIOKafkaConsumer, service: LocalService
) -> list[Gap]:
    rows = await connection.fetch(_POSITIONS.format(schema=service.module))
    kept = await consumer.topics()
    partitions = sorted(
        {TopicPartition(row["topic"], row["partition"]) for row in rows if row["topic"] in kept}
    )
    if not partitions:
        return []
    beginnings, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    gaps = []
    for row in rows:
        partition = TopicPartition(row["topic"], row["partition"])
        if partition not in ends:
            continue
        beginning, end = beginnings[partition], ends[partition]
        place = Place(row["topic"], row["partition"], row["next_offset"], None, beginning, end)
        if place.is_before_the_topic or place.is_beyond_the_topic:
            gaps.append(
                Gap(
                    service.name,
                    row["line"],
                    row["topic"],
                    row["partition"],
                    row["next_offset"],
                    beginning,
                    end,
                )
            )
    return gaps
