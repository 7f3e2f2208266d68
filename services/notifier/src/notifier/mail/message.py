"""A mail as it goes over the wire: nothing that was received can begin another header in it."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final

from notifier.domain.recipients import header_text, valid_address

_LOCAL_ADDRESS: Final = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_POLICY: Final = SMTP.clone(cte_type="7bit")
"""Seven bits, so that any server takes it: SMTP itself lets a mail have others only where both sides agree."""

_NOT_FOR_BODIES: Final = {code: " " for code in range(32) if chr(code) not in "\n\t"}


class UnsafeHeaderError(ValueError):
    """A text that may not stand in a header got as far as that."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom mails are from: a name to show, and an address."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What stands behind the @."""
        return self.address.rpartition("@")[2]


def sender_of(text: str) -> Sender:
    """The sender of `billing@example.com` or `Billing <billing@example.com>`.

    Raises ValueError for a text without an address; the address of a local host is one.
    """
    name, address = parseaddr(text)
    return Sender(header_text(name) or "Sluice", own_address(address))


def own_address(text: str) -> str:
    """An address that the administrator has named, at a local host too. Raises ValueError if it is none."""
    address = valid_address(text) or (text if _LOCAL_ADDRESS.fullmatch(text) else None)
    if address is None:
        raise ValueError("should be a mail address")
    return address


def compose_mail(
    delivery_id: str, *, sender: Sender, recipient: str, subject: str, text: str, html: str, at: datetime
) -> bytes:
    """The mail of a delivery, with a Message-ID that is the same whenever it is sent.

    Raises UnsafeHeaderError rather than write a header with a line end or another control character in it, or one
    that is read as two: Python decodes encoded words (`=?…?=`) that it is given, line ends among them.
    """
    mail = EmailMessage(policy=_POLICY)
    user, _, domain = _checked(recipient).rpartition("@")
    headers = {
        "From": Address(_checked(sender.name), addr_spec=_checked(sender.address)),
        "To": Address(username=user, domain=domain),
        "Subject": _checked(header_text(subject)),
        "Date": format_datetime(at),
        "Message-ID": f"<{_checked(delivery_id)}@{sender.domain}>",
        "Auto-Submitted": "auto-generated",
    }
    for name, value in headers.items():
        mail[name] = value
    mail.set_content(text.translate(_NOT_FOR_BODIES))
    mail.add_alternative(html.translate(_NOT_FOR_BODIES), subtype="html")
    content = mail.as_bytes()
    if _header_names(content) != mail.keys():
        raise UnsafeHeaderError("a header would begin another one")
    return content


def _header_names(content: bytes) -> list[str]:
    head = content.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return [line.partition(b":")[0].decode("ascii") for line in head if not line.startswith((b" ", b"\t"))]


def _checked(text: str) -> str:
    # EmailMessage refuses line ends, but not in every release of Python, and not in every kind of header.
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") for character in text):
        raise UnsafeHeaderError("a header would hold a control character")
    return text
