"""What is told: the content of a notification, the same for mails and for alerts (domain.md section 8)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from notifier.domain.recipients import header_text

REASONS_MAX: Final = 10
"""Most reasons that are shown; the rest is told as a number."""

TEXT_CHARACTERS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened, in words and figures.

    `title` is a line of its own, also a mail's subject. `path` is the page's, below PUBLIC_URL. `counts` are by what
    was counted (`not_passed`), `totals` by currency and what was summed, each amount with its currency's digits.
    `more_reasons` is how many reasons there are beside those shown.
    """

    title: str
    text: str
    path: str
    counts: Mapping[str, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    more_reasons: int = 0
    totals: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def first_reasons(
    reasons: Iterable[str], *, reasons_in_all: int | None = None
) -> tuple[tuple[str, ...], int]:
    """The reasons that are shown, each on one line, and how many more there are.

    `reasons_in_all`: how many there are, if only some of them are at hand.
    """
    lines = [one_line(reason) for reason in reasons]
    count = max(len(lines), reasons_in_all or 0)
    shown = tuple(lines[:REASONS_MAX])
    return shown, count - len(shown)


def one_line(text: str) -> str:
    """The text on one line, without control and invisible characters, at most TEXT_CHARACTERS_MAX characters."""
    return header_text(text, characters_max=TEXT_CHARACTERS_MAX)


def counted(count: int, one: str, many: str) -> str:
    """A number with its word: `1 invoice`, `2 invoices`."""
    return f"{count} {one if count == 1 else many}"


def words_of(code: str) -> str:
    """A code in plain words: `services_product_missing` is `services product missing`."""
    return code.replace("_", " ").replace("-", " ")
