"""The producer behind the relay: made anew when it has failed, since a failed one may never send again.

aiokafka's idempotent producer counts the messages of each partition. A batch that it gives up leaves a gap in the
count, for which the broker refuses all later ones of that partition; and a batch whose waiter has gone away ends its
sending task for good. Both last as long as the producer does. What was not sent is in the outbox still, and a new
producer begins a count of its own.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.messaging.keyed_batches import KeyedMessage, send_keyed

SEND_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 5.0

log = structlog.get_logger(__name__)


class KeyedProducer:
    """Sends keyed messages by a producer that `make` makes and that lives until it fails."""

    def __init__(self, make: Callable[[], AIOKafkaProducer]) -> None:
        self._make = make
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Reach the broker, if that has not been done yet. Raises KafkaError or OSError while it is away."""
        if self._producer is not None:
            return
        producer = self._make()
        try:
            await producer.start()
        except BaseException:
            await _discard(producer)
            raise
        self._producer = producer

    async def send(self, messages: Sequence[KeyedMessage]) -> list[BaseException | None]:
        """Send messages and wait for the broker; gives what kept each from it. See `send_keyed` for their order.

        Raises KafkaError or OSError if the broker cannot be reached, TimeoutError if it does not answer in time: an
        idempotent producer would try for ever. After a failure of any message, `renew` has to come before the next.
        """
        await self.start()
        assert self._producer is not None
        async with asyncio.timeout(SEND_SECONDS_MAX):
            return await send_keyed(self._producer, messages)

    async def renew(self) -> None:
        """Give up the producer with all that it has not sent; the next `send` makes another."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _discard(producer)

    async def stop(self) -> None:
        """Stop for good, waiting a little for what is being sent."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        stopping = asyncio.create_task(producer.stop(), name="stop-producer")
        done, _ = await asyncio.wait({stopping}, timeout=STOP_SECONDS_MAX)
        if not done:
            stopping.cancel()
            await _discard(producer)


async def _discard(producer: AIOKafkaProducer) -> None:
    """Close a producer without sending what it holds, in a bounded time."""
    sending = producer._sender.sender_task  # noqa: SLF001 - its own stop waits until everything is sent
    if sending is not None:
        sending.cancel()
    with contextlib.suppress(KafkaError, OSError):
        await producer.client.close()  # ends the requests that wait for an answer
    stopping = asyncio.create_task(producer.stop(), name="discard-producer")
    done, _ = await asyncio.wait({stopping}, timeout=STOP_SECONDS_MAX)
    if not done:
        stopping.cancel()
    elif not stopping.cancelled() and (error := stopping.exception()) is not None:
        log.warning("a failed producer did not stop in order", reason=type(error).__name__)
