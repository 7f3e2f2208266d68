"""A mail server that delivers to nobody: it keeps the last mails and shows them on a page. Runs as its own process."""

import argparse
import asyncio
import html
from collections import deque
from dataclasses import asdict, dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Final

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, PlainTextResponse

MAILS_MAX: Final = 1_000
BYTES_MAX: Final = 32 * 1024 * 1024
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class CaughtMail:
    """One mail: whom the envelope names, and what the headers and the body say."""

    number: int
    sender: str
    recipients: list[str]
    subject: str
    text: str
    html: str
    attachments: list[str]


class MailBox:
    """The last MAILS_MAX mails, the newest first."""

    def __init__(self) -> None:
        self._mails: deque[tuple[CaughtMail, bytes]] = deque(maxlen=MAILS_MAX)
        self._count = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail; the answer is the SMTP reply."""
        content = (
            envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        )
        self._count += 1
        self._mails.appendleft((_read(self._count, envelope, content), content))
        return "250 2.0.0 taken"

    def mails(self) -> list[CaughtMail]:
        """All that are kept."""
        return [mail for mail, _ in self._mails]

    def source(self, number: int) -> bytes | None:
        """A mail's bytes as they came, None if it is not (or no longer) kept."""
        return next((content for mail, content in self._mails if mail.number == number), None)


def _read(number: int, envelope: Envelope, content: bytes) -> CaughtMail:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return CaughtMail(
        number=number,
        sender=envelope.mail_from or "",
        recipients=[str(recipient) for recipient in envelope.rcpt_tos],
        subject=str(message.get("Subject", "")).strip(),  # of a folded header the fold is kept
        text=_body(message, "plain"),
        html=_body(message, "html"),
        attachments=[part.get_filename() or "" for part in message.iter_attachments()],
    )


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part is not None else ""


def make_pages(box: MailBox) -> FastAPI:
    """The pages: `/` for people, `/mails` for machines, `/mails/{number}` one mail's source, `/health/ready`."""
    pages = FastAPI(title="Mails caught on this machine", docs_url=None, redoc_url=None)

    @pages.get("/health/ready")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @pages.get("/mails")
    def mails(recipient: str | None = None) -> list[dict[str, Any]]:
        return [asdict(mail) for mail in box.mails() if recipient is None or recipient in mail.recipients]

    @pages.get("/mails/{number}", response_class=PlainTextResponse)
    def mail(number: int) -> str:
        source = box.source(number)
        if source is None:
            raise HTTPException(404, "no such mail")
        return source.decode("utf-8", "replace")

    @pages.get("/", response_class=HTMLResponse)
    def page() -> str:
        return _page(box.mails())

    return pages


def _page(mails: list[CaughtMail]) -> str:
    rows = "".join(
        f'<tr><td><a href="/mails/{mail.number}">{mail.number}</a></td>'
        f"<td>{html.escape(', '.join(mail.recipients))}</td>"
        f"<td><details><summary>{html.escape(mail.subject)}</summary><pre>{html.escape(mail.text)}</pre></details></td></tr>"
        for mail in mails
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
        "<title>Mails</title><style>body{font:16px/1.5 sans-serif;margin:2rem}td,th{text-align:left;vertical-align:top;"
        "padding:.3rem 1rem .3rem 0}</style><h1>Mails</h1><p>Caught on this machine, delivered to nobody.</p>"
        f"<table><tr><th>No.</th><th>To</th><th>Subject</th></tr>{rows}</table></html>"
    )


async def catch(smtp_port: int, page_port: int) -> None:
    """Serve both ports until asked to end."""
    box = MailBox()
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(
        lambda: SMTP(box, hostname="localhost", data_size_limit=BYTES_MAX, enable_SMTPUTF8=True),
        LOOPBACK,
        smtp_port,
    )
    settings = uvicorn.Config(make_pages(box), host=LOOPBACK, port=page_port, log_level="warning")
    async with smtp:
        await uvicorn.Server(settings).serve()


def main() -> None:
    """Run the catcher on the two ports given on the command line."""
    parser = argparse.ArgumentParser(description="A mail server that delivers to nobody")
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--page-port", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(catch(given.smtp_port, given.page_port))


if __name__ == "__main__":
    main()
