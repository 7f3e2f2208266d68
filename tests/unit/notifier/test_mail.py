"""A mail is what it should be, whatever stands in what it tells (domain.md section 8)."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as some

from notifier.domain.notices import Notice
from notifier.domain.recipients import valid_address
from notifier.mail.message import Sender, UnsafeHeaderError, compose_mail, own_address, sender_of
from notifier.mail.rendering import Renderer

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
SENDER = Sender("Billing", "billing@example.com")
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
INJECTIONS = [
    "x\r\nBcc: thief@example.org",
    "x\nBcc: thief@example.org",
    "x\rBcc: thief@example.org",
    "x\r\n\r\n<script>alert(1)</script>",
    "x\x00Bcc: thief@example.org",
    "x\x0bBcc: thief@example.org",
    "x\x0cBcc: thief@example.org",
    "x\x1cBcc: thief@example.org",
    "x\x85Bcc: thief@example.org",
    "x\u2028Bcc: thief@example.org",
    "x\u2029Bcc: thief@example.org",
    "x\r\n Bcc: thief@example.org",
    "=?utf-8?q?x=0D=0ABcc:_thief@example.org?=",
    "x" * 5_000 + "\r\nBcc: thief@example.org",
    "\u202egro.elpmaxe@feiht",
    "Zażółć gęślą jaźń 💷 " * 40,
]


def composed(**given: str) -> bytes:
    values = {
        "delivery_id": "d-1",
        "recipient": "pm@example.com",
        "subject": "title",
        "text": "text",
        "html": "<p>text</p>",
    } | given
    delivery_id = values.pop("delivery_id")
    return compose_mail(delivery_id, sender=SENDER, at=AT, **values)


def read(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def assert_sound(content: bytes) -> None:
    """No header but ours, no line that a server might not take, seven bits, and both parts."""
    message = read(content)
    assert list(message) == HEADERS
    assert message["To"].addresses[0].addr_spec == "pm@example.com"
    assert len(message["To"].addresses) == 1
    assert message["From"].addresses[0].addr_spec == "billing@example.com"
    assert message["Message-ID"] == "<d-1@example.com>"
    assert content.isascii()
    assert b"\x00" not in content
    lines = content.split(b"\r\n")
    assert all(b"\n" not in line and b"\r" not in line and len(line) <= 998 for line in lines)
    head = content.split(b"\r\n\r\n", 1)[0].lower()
    assert b"\r\nbcc:" not in head
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize("injection", INJECTIONS)
def test_no_text_begins_a_header_or_a_part(injection: str) -> None:
    renderer = Renderer("http://sluice.example", "help@example.com")
    notice = Notice(
        injection,
        injection,
        "/pages/alerts",
        counts={"released": 1},
        reasons=(injection,),
        totals={"GBP": {"invoices": "1.00"}},
    )
    subject = f"Sluice: {injection}"
    assert_sound(composed(subject=subject, text=renderer.text(notice), html=renderer.html(notice)))


@given(some.text(max_size=300))
def test_no_subject_and_no_body_breaks_a_mail(text: str) -> None:
    clean = text.encode(errors="replace").decode()
    assert_sound(composed(subject=text, text=clean, html=clean))


@pytest.mark.parametrize("injection", [each for each in INJECTIONS if not each.isprintable()][:11])
def test_a_recipient_that_is_none_never_gets_into_a_header(injection: str) -> None:
    with pytest.raises(UnsafeHeaderError):
        composed(recipient=f"{injection}@example.com")


def test_an_address_that_is_read_as_a_line_end_gets_no_mail() -> None:
    """All its characters may stand in an address; decoded, they begin another header."""
    recipient = "=?utf-8?q?x=0D=0ABcc=3Athief?=@example.com"
    assert valid_address(recipient) == recipient
    with pytest.raises(UnsafeHeaderError):
        composed(recipient=recipient)


def test_a_mail_has_the_same_name_whenever_it_is_sent() -> None:
    assert read(composed())["Message-ID"] == read(composed(subject="later"))["Message-ID"]
    assert read(composed())["Message-ID"] != read(composed(delivery_id="d-2"))["Message-ID"]


def test_markup_in_what_is_told_is_text() -> None:
    renderer = Renderer("http://sluice.example", "help@example.com")
    notice = Notice("<b>title</b>", "<script>alert(1)</script>", '/pages/"><img src=x>', reasons=("<i>&",))
    html = renderer.html(notice)
    assert "<script>" not in html
    assert "<img" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<i>&" in renderer.text(notice)


def test_the_text_of_a_mail_is_calm_and_complete() -> None:
    notice = Notice(
        "Process run: 1 invoice",
        "It has ended.",
        "/pages/process-runs/PR-1",
        counts={"invoices": 1, "not_passed": 3},
        reasons=("BE-1: account missing", "BE-2: Over the cap."),
        more_reasons=1,
        totals={"GBP": {"invoices": "100.00"}, "JPY": {"invoices": "7"}},
    )
    assert Renderer("http://sluice.example", "help@example.com").text(notice) == (
        "Process run: 1 invoice\n\nIt has ended.\n\nInvoices: 1\nNot passed: 3\n\n"
        "Totals\n  Invoices: 100.00 GBP\n  Invoices: 7 JPY\n\n"
        "First reasons\n  - BE-1: account missing\n  - BE-2: Over the cap.\n  and 1 more\n\n"
        "See http://sluice.example/pages/process-runs/PR-1\n\n"
        "-- \nSluice sends this mail by itself. Questions: help@example.com\n"
    )


def test_a_notice_without_figures_has_no_empty_sections() -> None:
    text = Renderer("http://sluice.example", "help").text(Notice("title", "text", "/pages/alerts"))
    assert text.startswith("title\n\ntext\n\nSee http://sluice.example/pages/alerts\n")


@pytest.mark.parametrize(
    "text, sender",
    [
        ("billing@example.com", Sender("Sluice", "billing@example.com")),
        ("Billing <billing@example.com>", Sender("Billing", "billing@example.com")),
        ('"Survey, Billing" <b@x.example>', Sender("Survey, Billing", "b@x.example")),
        ("sluice@localhost", Sender("Sluice", "sluice@localhost")),
        ("sluice@mail.corp.local", Sender("Sluice", "sluice@mail.corp.local")),
    ],
)
def test_who_sends(text: str, sender: Sender) -> None:
    assert sender_of(text) == sender


@pytest.mark.parametrize(
    "text", ["", "billing", "@x.example", "a b@localhost", "a@local\r\nBcc: b@x.example", "a@-"]
)
def test_who_cannot_be_an_address_of_ours(text: str) -> None:
    with pytest.raises(ValueError, match="mail address"):
        own_address(text)
