"""Identifiers: what is accepted from outside, and how new ones are made."""

import re
import uuid
from typing import Final

ID_LENGTH_MAX: Final = 80
ID_PATTERN: Final = r"^[A-Za-z0-9._:-]{1,80}$"
"""Ids on the wire (contract.md section 1): 1 to 80 characters of `A-Za-z0-9._:-`."""

_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,80}")
_NAMESPACE: Final = uuid.UUID("5c0f1c1e-0f3a-4a0e-9d43-51a1ce000001")


def is_id(text: str) -> bool:
    """Whether the text is an acceptable id."""
    return _ID.fullmatch(text) is not None


def new_id() -> str:
    """A new random identifier."""
    return str(uuid.uuid4())


def derived_id(*parts: str) -> str:
    """The identifier that always follows from these parts: made again for the same cause, it is the same."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))
