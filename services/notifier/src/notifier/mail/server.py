"""The mail server: where it is, and a connection to it that is kept while there are mails."""

import asyncio
import socket
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib

REPLY_SECONDS_MAX: Final = 10.0
"""How long the server may take for one reply."""

SEND_SECONDS_MAX: Final = 20.0
"""How long a mail may take, with connecting and signing in."""

MAILS_PER_CONNECTION_MAX: Final = 100

_PERMANENT_FROM: Final = 500
_SMTP_PORT: Final = 25
_TLS_PORT: Final = 465
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails are handed over, and how: TLS from the start, or STARTTLS wherever the server offers it.

    `needs_starttls`: without it nothing is sent, for a password would be. `ca_file` names the authorities that may have
    signed the server's certificate, in place of the system's.
    """

    host: str
    port: int
    is_tls: bool = False
    needs_starttls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None


class MailNotTakenError(Exception):
    """The server has not taken a mail. `is_permanent`: it has refused this mail for good, with a reply of 5xx."""

    def __init__(self, reason: str, *, is_permanent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_permanent = is_permanent


def mail_server_of(url: str) -> MailServer:
    """The server of `smtp://[user:password@]host[:port]` or `smtps://…`. Raises ValueError with what is wrong."""
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("should be smtp://host:port or smtps://host:port, with user:password@ if need be")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("should end after the port")
    is_tls = parts.scheme == "smtps"
    return MailServer(
        host=parts.hostname,
        port=parts.port or (_TLS_PORT if is_tls else _SMTP_PORT),
        is_tls=is_tls,
        needs_starttls=not is_tls and parts.username is not None and parts.hostname not in _LOOPBACK,
        username=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password) if parts.password is not None else None,
    )


class MailConnection:
    """One connection, for one mail at a time; made when it is needed, and made anew after a failure."""

    def __init__(
        self,
        server: MailServer,
        *,
        reply_seconds_max: float = REPLY_SECONDS_MAX,
        send_seconds_max: float = SEND_SECONDS_MAX,
    ) -> None:
        self._server = server
        self._reply_seconds_max = reply_seconds_max
        self._send_seconds_max = send_seconds_max
        self._client: aiosmtplib.SMTP | None = None
        self._mails = 0

    async def send(self, sender: str, recipient: str, content: bytes) -> None:
        """Hand a mail over: when this returns, the server has taken it. Raises MailNotTakenError.

        A mail whose reply was lost may have been taken.
        """
        try:
            async with asyncio.timeout(self._send_seconds_max):
                client = await self._connected()
                self._mails += 1
                await client.sendmail(sender, [recipient], content)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refusal(error.recipients[0]) from error
        except (
            aiosmtplib.SMTPSenderRefused,
            aiosmtplib.SMTPRecipientRefused,
            aiosmtplib.SMTPDataError,
        ) as error:
            raise _refusal(error) from error
        except (
            aiosmtplib.SMTPResponseException
        ) as error:  # to our greeting, or to our signing in: not to this mail
            self.drop()
            raise MailNotTakenError(f"{error.code} {error.message}", is_permanent=False) from error
        except TimeoutError as error:
            self.drop()
            raise MailNotTakenError("the mail server did not answer in time", is_permanent=False) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            self.drop()
            raise MailNotTakenError(
                f"the connection to the mail server failed ({type(error).__name__})", is_permanent=False
            ) from error
        except BaseException:
            self.drop()
            raise

    async def close(self) -> None:
        """Take leave of the server, if there is a connection."""
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            try:
                await client.quit(timeout=1.0)
            except (aiosmtplib.SMTPException, OSError):
                client.close()

    def drop(self) -> None:
        """Close the connection without taking leave."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._mails >= MAILS_PER_CONNECTION_MAX:
            await self.close()
        if self._client is None or not self._client.is_connected:
            server = self._server
            self._mails = 0
            self._client = aiosmtplib.SMTP(
                hostname=server.host,
                port=server.port,
                username=server.username,
                password=server.password,
                local_hostname=socket.gethostname(),
                timeout=self._reply_seconds_max,
                use_tls=server.is_tls,
                start_tls=True if server.needs_starttls else None,
                cert_bundle=server.ca_file,
            )
            await self._client.connect()
        return self._client


def _refusal(error: aiosmtplib.SMTPResponseException) -> MailNotTakenError:
    return MailNotTakenError(f"{error.code} {error.message}", is_permanent=error.code >= _PERMANENT_FROM)
