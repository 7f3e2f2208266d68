"""Reasons: why something was refused, by code, in words, and with the numbers and ids that it speaks of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reason:
    """One refusal (contract.md section 2: `reasons`)."""

    code: str
    message: str
    detail: Mapping[str, object] = field(default_factory=dict)
    """Plain JSON values: text, numbers, lists and objects; amounts as decimal strings."""


def merged(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """One reason for each code: all that they say, each sentence and each member of their lists once."""
    found: dict[str, list[Reason]] = {}
    for reason in reasons:
        found.setdefault(reason.code, []).append(reason)
    return tuple(_merge(code, alike) for code, alike in found.items())


def _merge(code: str, alike: list[Reason]) -> Reason:
    if len(alike) == 1:
        return alike[0]
    detail: dict[str, object] = {}
    for reason in alike:
        for name, value in reason.detail.items():
            known = detail.setdefault(name, value)
            if isinstance(known, list) and isinstance(value, list) and known is not value:
                detail[name] = list(dict.fromkeys([*known, *value]))
    return Reason(code, "; ".join(dict.fromkeys(reason.message for reason in alike)), detail)
