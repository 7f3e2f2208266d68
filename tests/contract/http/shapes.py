"""Shapes of JSON: what an answer must hold at least, field by field; it may hold more (contract.md section 2)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, TypeAlias

DIGITS: Final = {"GBP": 2, "EUR": 2, "JPY": 0, "KWD": 3}

Rule: TypeAlias = Callable[[Any], bool]
Shape: TypeAlias = "Rule | Mapping[str, Any] | Sequence[Any] | str | bool | int | None"


@dataclass(frozen=True)
class Optional:
    """The shape, or null."""

    shape: Any


@dataclass(frozen=True)
class Filled:
    """A list of the shape that has something in it: an empty one would show nothing."""

    shape: Any


@dataclass(frozen=True)
class Each:
    """An object whose members all have the shape, whatever their names; it is not empty."""

    shape: Any


def problems(value: Any, shape: Any, path: str = "") -> list[str]:
    """What the value lacks of the shape, by path. A shape is a mapping, a list (of one: for each member), a
    rule, or a value itself."""
    if isinstance(shape, Optional):
        return [] if value is None else problems(value, shape.shape, path)
    if isinstance(shape, Filled):
        return problems(value, [shape.shape], path) if value else [f"{path}: {value!r} should not be empty"]
    if isinstance(shape, Each):
        if not isinstance(value, dict) or not value:
            return [f"{path}: {value!r} should be an object with members"]
        return [
            each for name, member in value.items() for each in problems(member, shape.shape, f"{path}.{name}")
        ]
    if isinstance(shape, Mapping):
        return _problems_of_object(value, shape, path)
    if isinstance(shape, list):
        return _problems_of_list(value, shape, path)
    if callable(shape):
        return [] if shape(value) else [f"{path}: {value!r} is not {shape.__name__}"]
    return [] if value == shape and type(value) is type(shape) else [f"{path}: {value!r} is not {shape!r}"]


def _problems_of_list(value: Any, shape: Sequence[Any], path: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{path}: {value!r} should be a list"]
    shapes = list(shape) * len(value) if len(shape) == 1 else list(shape)
    if len(shapes) != len(value):
        return [f"{path}: {value!r} should have {len(shapes)} members"]
    pairs = zip(value, shapes, strict=True)
    return [each for place, pair in enumerate(pairs) for each in problems(*pair, f"{path}[{place}]")]


def _problems_of_object(value: Any, shape: Mapping[str, Any], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} should be an object"]
    missing = [f"{path}.{name}: missing" for name in shape if name not in value]
    return missing + [
        each
        for name, inner in shape.items()
        if name in value
        for each in problems(value[name], inner, f"{path}.{name}")
    ]


def has_shape(value: Any, shape: Any) -> None:
    """Assert that the value has the shape."""
    found = problems(value, shape)
    assert not found, "\n".join(found)


def text(value: Any) -> bool:
    return isinstance(value, str)


def identifier(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._:-]{1,80}", value) is not None


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def number(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", value) is not None


def day(value: Any) -> bool:
    return isinstance(value, str) and date.fromisoformat(value).isoformat() == value


def instant(value: Any) -> bool:
    return isinstance(value, str) and value.endswith("Z") and datetime.fromisoformat(value).tzinfo is not None


def anything(_value: Any) -> bool:
    return True


def one_of(*values: Any) -> Rule:
    """A rule: the value is one of these."""

    def known_value(value: Any) -> bool:
        return value in values

    return known_value


def amount(currency: str) -> Rule:
    """A rule: a string with exactly the currency's digits."""
    digits = DIGITS[currency]
    pattern = re.compile(r"-?(0|[1-9][0-9]*)" + (rf"\.[0-9]{{{digits}}}" if digits else ""))

    def amount_with_its_currencys_digits(value: Any) -> bool:
        return isinstance(value, str) and pattern.fullmatch(value) is not None

    return amount_with_its_currencys_digits


REASON: Final = {"code": text, "message": text, "detail": anything}
PROBLEM: Final = {"type": text, "title": text, "status": count, "code": text, "errors": [anything]}
REFUSAL: Final = PROBLEM | {"reasons": Filled(REASON)}
STARTER: Final = {"user_id": "u1", "email": "u1@example.com"}
