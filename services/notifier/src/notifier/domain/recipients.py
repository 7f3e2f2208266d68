"""Whose address a mail may go to, and what may stand in its headers (domain.md section 8)."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from email_validator import EmailNotValidError, validate_email

HEADER_CHARACTERS_MAX: Final = 200
"""Most characters of a text that stands in a mail's header."""

_PART: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^;,])+')
"""What stands between separators; one in quotes belongs to a name."""
_NAMED: Final = re.compile(r"[^<>]*<\s*([^<>\s]+)\s*>")
"""`Name <address>`: only the address is used."""

_NOT_FOR_HEADERS: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Recipients:
    """The addresses of a list: the valid ones, each once, and as they were written those to be logged as
    invalid.
    """

    valid: tuple[str, ...]
    invalid: tuple[str, ...]


def recipients_of(text: str) -> Recipients:
    """The addresses of a text, separated by `;` or `,`, each alone or as `Name <address>` (domain.md section 8).

    Empty parts are nothing.
    """
    valid = []
    invalid = []
    for written in split_list(text):
        address = valid_address(address_part(written))
        if address is None:
            invalid.append(written)
        else:
            valid.append(address)
    return Recipients(distinct_addresses(valid), tuple(invalid))


def split_list(text: str) -> tuple[str, ...]:
    """The parts of a text that are separated by `;` or `,`, but not in quotes; empty parts are nothing."""
    return tuple(written for part in _PART.findall(text) if (written := part.strip(" \t")))


def address_part(written: str) -> str:
    """The address of `Name <address>`; anything else as it is."""
    named = _NAMED.fullmatch(written)
    return written if named is None else named[1]


def valid_address(text: str) -> str | None:
    """The address in the form in which mail servers take it (ASCII), or None if it is no address.

    Its form is checked, no name server is asked. Names before the @ must be ASCII: not every mail server
    takes others. The domain `test` is accepted, so that a system may be tried out with addresses that reach
    nobody.
    """
    try:
        checked = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=False,
            allow_quoted_local=False,
            test_environment=True,
        )
    except EmailNotValidError:
        return None
    return checked.ascii_email


def distinct_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Each address once, as it was first written; capital letters make no other address."""
    first = dict[str, str]()
    for address in addresses:
        first.setdefault(address.casefold(), address)
    return tuple(first.values())


def header_text(text: str, *, characters_max: int = HEADER_CHARACTERS_MAX) -> str:
    """The text as it may stand in a mail's header: one line, of at most `characters_max` characters.

    Line ends, control and invisible characters become spaces, and what would be read as an encoded word (`=?…?=`,
    which may stand for a line end) is broken up, so that no text can begin another header.
    """
    shown = "".join(" " if unicodedata.category(each) in _NOT_FOR_HEADERS else each for each in text)
    words = " ".join(shown.split()).replace("=?", "= ?")
    return words if len(words) <= characters_max else words[: characters_max - 1] + "…"
