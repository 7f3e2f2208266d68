"""Reasons: why something was refused, by code, in words, and with the numbers and ids that it speaks of."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reason:
    """One refusal (contract.md section 2: `reasons`)."""

    code: str
    message: str
    detail: Mapping[str, object] = field(default_factory=dict)
    """Plain JSON values: text, numbers, lists and objects; amounts as decimal strings."""
