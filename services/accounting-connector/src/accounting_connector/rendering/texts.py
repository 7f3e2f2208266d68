"""Text that others wrote, made fit for files."""

import re
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def without_forbidden(text: str) -> str:
    """The text with every character that XML 1.0 forbids replaced by U+FFFD."""
    return _FORBIDDEN.sub(REPLACEMENT, text)


def given(text: str | None) -> str | None:
    """The text fit for a file, or None where there is nothing to read in it."""
    if text is None or not text.strip():
        return None
    return without_forbidden(text)
