"""Reasons as logs, facts and answers hold them: bounded, so that every reader of a fact can take them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from accounting_connector.domain.reasons import Reason

LIST_LENGTH_MAX: Final = 100
TEXT_LENGTH_MAX: Final = 500
MESSAGE_LENGTH_MAX: Final = 2_000


def reason_bodies(reasons: Iterable[Reason]) -> list[dict[str, Any]]:
    """Each reason with code, message and detail; of a long list in the detail its beginning, and `<name>_count`."""
    return [
        {
            "code": reason.code,
            "message": reason.message[:MESSAGE_LENGTH_MAX],
            "detail": bounded(reason.detail),
        }
        for reason in reasons
    ]


def reasons_of(bodies: Iterable[Mapping[str, Any]]) -> tuple[Reason, ...]:
    """The reasons that `reason_bodies` gave."""
    return tuple(Reason(body["code"], body["message"], body["detail"]) for body in bodies)


def bounded(values: Mapping[str, object]) -> dict[str, object]:
    """The values with long texts and lists cut; `<name>_count` says how long a list was."""
    cut: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, list | tuple) and len(value) > LIST_LENGTH_MAX:
            cut[f"{name}_count"] = len(value)
        cut[name] = _cut(value)
    return cut


def _cut(value: object) -> object:
    if isinstance(value, str):
        return value[:TEXT_LENGTH_MAX]
    if isinstance(value, list | tuple):
        return [_cut(member) for member in value[:LIST_LENGTH_MAX]]
    if isinstance(value, Mapping):
        return {name: _cut(member) for name, member in value.items()}
    return value
