"""A mail server of our own in a thread: its first answer to each recipient is a failure, and it keeps what it takes."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from enum import Enum
from typing import Any, Final

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from sluice.infrastructure.ports import LOOPBACK, free_port

TAKEN: Final = "250 2.0.0 taken"
_START_SECONDS_MAX: Final = 60.0


class Failure(Enum):
    """What becomes of a mail; DROP takes it and goes away without an answer."""

    REFUSE = "451 4.3.0 try again later"
    HANG = "hang"
    DROP = "drop"


@dataclass(slots=True)
class UnreliableMailServer:
    """Fails once for each recipient, in a way that goes round; afterwards it takes everything."""

    failures: dict[str, Failure] = field(default_factory=dict)
    taken: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """How often each Message-ID was taken, by recipient."""
    url: str = ""

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        recipient = str(envelope.rcpt_tos[0])
        first = recipient not in self.failures
        kinds = list(Failure)
        failure = self.failures.setdefault(recipient, kinds[len(self.failures) % len(kinds)])
        if first and failure is Failure.REFUSE:
            return str(failure.value)
        if first and failure is Failure.HANG:
            # The sender gives up on us; we never answer.
            await asyncio.Event().wait()
        content = envelope.content
        assert isinstance(content, bytes)
        self.taken[recipient][str(message_from_bytes(content)["Message-ID"])] += 1
        if first:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return TAKEN


@contextmanager
def unreliable_mail_server() -> Iterator[UnreliableMailServer]:
    """One that listens on a free port of this machine."""
    handler = UnreliableMailServer()
    controller: Any = Controller(
        handler, hostname=LOOPBACK, port=free_port(), ready_timeout=_START_SECONDS_MAX
    )
    controller.start()
    handler.url = f"smtp://{LOOPBACK}:{controller.port}"
    try:
        yield handler
    finally:
        controller.stop(no_assert=True)
