"""A real mail server that behaves as it is told: takes, refuses, hangs, or goes away after the data."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HOST = "127.0.0.1"
TAKE = "250 2.0.0 taken"
HANG = "hang"
DROP = "drop after the data"


@dataclass
class Taken:
    """A mail that the server has, whether the client knows it or not."""

    sender: str
    recipient: str
    content: bytes

    @property
    def message(self) -> EmailMessage:
        message = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message

    def body(self, kind: str) -> str:
        """The part of this kind: `plain` or `html`."""
        part = self.message.get_body(preferencelist=(kind,))
        assert part is not None
        return str(part.get_content())


@dataclass
class MailServer:
    """Listens on a free port. `at_data` and `at_recipient` are the next answers; without any, mails are taken."""

    options: dict[str, Any] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    at_data: deque[str] = field(default_factory=deque)
    at_recipient: deque[str] = field(default_factory=deque)
    refused: set[str] = field(default_factory=set)
    connections: int = 0
    under_way: int = 0
    under_way_max: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    signed_in: list[str] = field(default_factory=list)
    port: int = 0

    async def __aenter__(self) -> Self:
        self.gate.set()
        self._server = await asyncio.get_running_loop().create_server(self._protocol, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.gate.set()
        self._server.close()

    def _protocol(self) -> SMTP:
        self.connections += 1
        return SMTP(
            self, hostname="localhost", enable_SMTPUTF8=False, authenticator=self._sign_in, **self.options
        )

    def _sign_in(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.signed_in.append(f"{given.login.decode()}:{given.password.decode()}")
        return AuthResult(success=True)

    @property
    def url(self) -> str:
        """The server's address, as SMTP_URL has it."""
        return f"smtp://{HOST}:{self.port}"

    @property
    def recipients(self) -> list[str]:
        """Whom the mails went to, sorted."""
        return sorted(mail.recipient for mail in self.taken)

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 5.1.1 no such user"
        answer = self.at_recipient.popleft() if self.at_recipient else TAKE
        if answer == TAKE:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        answer = self.at_data.popleft() if self.at_data else TAKE
        if answer == HANG:
            await asyncio.sleep(3600)
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        if answer in (TAKE, DROP):
            content = envelope.content
            assert isinstance(content, bytes)
            (recipient,) = envelope.rcpt_tos
            self.taken.append(Taken(envelope.mail_from or "", str(recipient), content))
        if answer == DROP:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return answer
