"""Whose address a mail may go to, and what may stand in its headers (domain.md section 8)."""

from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as some

from notifier.domain.recipients import (
    HEADER_CHARACTERS_MAX,
    Recipients,
    distinct_addresses,
    header_text,
    recipients_of,
    valid_address,
)


@pytest.mark.parametrize(
    "text, valid, invalid",
    [
        ("", (), ()),
        (" ; ,, ", (), ()),
        ("a@x.example;b@x.example", ("a@x.example", "b@x.example"), ()),
        ("a@x.example, b@x.example ;c@x.example", ("a@x.example", "b@x.example", "c@x.example"), ()),
        (
            "a@x.example;nobody;b@x.example,@x.example",
            ("a@x.example", "b@x.example"),
            ("nobody", "@x.example"),
        ),
        ("A@x.example;a@X.example", ("A@x.example",), ()),
        ("a@x.example; Name <b@x.example>", ("a@x.example", "b@x.example"), ()),
        ('"Doe, Jane; PM" <jane@x.example>, <c@x.example>', ("jane@x.example", "c@x.example"), ()),
        ("Doe, Jane <jane@x.example>", ("jane@x.example",), ("Doe",)),
        ("Name <a@x.example> b@x.example;<>", (), ("Name <a@x.example> b@x.example", "<>")),
        ('"open <a@x.example>;b@x.example', ("a@x.example", "b@x.example"), ()),
    ],
)
def test_addresses_are_separated_and_the_invalid_ones_told(
    text: str, valid: tuple[str, ...], invalid: tuple[str, ...]
) -> None:
    assert recipients_of(text) == Recipients(valid, invalid)


@pytest.mark.parametrize(
    "text, address",
    [
        ("pm@example.com", "pm@example.com"),
        ("pm@EXAMPLE.com", "pm@example.com"),
        ("first.last+bills@sub.example.co.uk", "first.last+bills@sub.example.co.uk"),
        ("ap@bücher.example", "ap@xn--bcher-kva.example"),
        ("ops@sluice.test", "ops@sluice.test"),
        ("pm", None),
        ("pm@", None),
        ("pm@localhost", None),
        ("pm@example..com", None),
        ("Project Manager <pm@example.com>", None),
        ('"quoted name"@example.com', None),
        ("pm@example.com\r\nBcc: thief@example.org", None),
        ("pm@example.com\n", None),
        ("p\x00m@example.com", None),
        ("pm@example.com\u2028Bcc: thief@example.org", None),
    ],
)
def test_what_is_an_address(text: str, address: str | None) -> None:
    assert valid_address(text) == address


def test_address_that_is_written_twice_gets_one_mail() -> None:
    assert distinct_addresses(["B@x.example", "a@x.example", "b@x.example"]) == ("B@x.example", "a@x.example")


TRICKY = some.text(alphabet=some.sampled_from('ab@.;, \t\r\n:<>"\x00\x0b\x85\u2028é'), max_size=40)


@given(some.one_of(TRICKY, some.text(max_size=60)))
def test_no_text_of_recipients_brings_forth_another_header_or_recipient(text: str) -> None:
    for address in recipients_of(text).valid:
        mail = EmailMessage(policy=SMTP)
        mail["To"] = address
        assert mail["To"].addresses[0].addr_spec == address
        assert len(mail["To"].addresses) == 1
        assert mail.as_bytes().count(b"\r\n") == 2


@given(some.one_of(TRICKY, some.text(max_size=400)))
def test_no_text_of_a_header_brings_forth_another(text: str) -> None:
    shown = header_text(text)

    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = shown
    assert mail.keys() == ["Subject"]
    assert shown.splitlines() in ([], [shown])
    assert len(shown) <= HEADER_CHARACTERS_MAX


@pytest.mark.parametrize(
    "text, shown",
    [
        ("Billing run R-1 was validated", "Billing run R-1 was validated"),
        ("Straße\r\nBcc: thief@example.org", "Straße Bcc: thief@example.org"),
        ("\u202eright to left\ud800", "right to left"),
        ("x" * (HEADER_CHARACTERS_MAX + 1), "x" * (HEADER_CHARACTERS_MAX - 1) + "…"),
    ],
)
def test_header_text_is_one_bounded_line(text: str, shown: str) -> None:
    assert header_text(text) == shown
