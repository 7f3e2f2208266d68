"""What the operators and functions of an expression do: strict about kinds of values, exact about numbers."""

import operator
import re
from ast import AST, Add, Div, Eq, Gt, GtE, In, Lt, LtE, Mult, Not, NotEq, NotIn, Sub, USub
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any, Final

LIST_LENGTH_MAX: Final = 1000
"""Most entries of a list that `in` looks through."""

_ARITHMETIC: Final = Context(prec=60, traps=[InvalidOperation, DivisionByZero, Overflow])
_NUMERIC_TEXT: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")


class ExpressionError(ValueError):
    """The expression is not allowed, or cannot be evaluated over these fields; the message says why."""


_KINDS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (bool, "true or false"),
    ((int, Decimal), "a number"),
    (str, "text"),
    (Mapping, "an object"),
    ((list, tuple), "a list"),
)


def kind_of(value: object) -> str:
    """The value's kind in the words of a message."""
    if value is None:
        return "null"
    return next((words for types, words in _KINDS if isinstance(value, types)), type(value).__name__)


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ExpressionError(f"a number is needed here, not {kind_of(value)}")
    return Decimal(value)


def truth_of(value: object) -> bool:
    """The value as true or false; null is false. Raises ExpressionError for anything else."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ExpressionError(f"true or false is needed here, not {kind_of(value)}")
    return value


def _equal(left: object, right: object) -> bool:
    if left is not None and right is not None and kind_of(left) != kind_of(right):
        raise ExpressionError(f"{kind_of(left)} cannot be compared with {kind_of(right)}")
    return left == right


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[object, object], bool]:
    def compared(left: object, right: object) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return compare(left, right)
        return compare(_number(left), _number(right))

    return compared


def _is_in(element: object, container: object) -> bool:
    if isinstance(container, str):
        if not isinstance(element, str):
            raise ExpressionError(f"text is needed to look into text, not {kind_of(element)}")
        return element in container
    candidates = _elements(container)
    if len(candidates) > LIST_LENGTH_MAX:
        raise ExpressionError(f"a list looked into has at most {LIST_LENGTH_MAX} entries")
    return any(_equal(element, candidate) for candidate in candidates)


def _elements(value: object) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise ExpressionError(f"a list is needed here, not {kind_of(value)}")
    return value


def _arithmetic(compute: Callable[[Decimal, Decimal], Decimal]) -> Callable[[object, object], Decimal]:
    return lambda left, right: compute(_number(left), _number(right))


OPERATORS: Final[Mapping[type[AST], Callable[..., object]]] = {
    Add: _arithmetic(_ARITHMETIC.add),
    Sub: _arithmetic(_ARITHMETIC.subtract),
    Mult: _arithmetic(_ARITHMETIC.multiply),
    Div: _arithmetic(_ARITHMETIC.divide),
    USub: lambda value: _number(value).copy_negate(),
    Not: lambda value: not truth_of(value),
    Eq: _equal,
    NotEq: lambda left, right: not _equal(left, right),
    Lt: _ordered(operator.lt),
    LtE: _ordered(operator.le),
    Gt: _ordered(operator.gt),
    GtE: _ordered(operator.ge),
    In: _is_in,
    NotIn: lambda element, container: not _is_in(element, container),
}
"""What each operator of the syntax tree does; an operator that is not here is not available."""


def _length(value: object) -> Decimal:
    return Decimal(len(value if isinstance(value, str) else _elements(value)))


def _sum(values: object) -> Decimal:
    total = Decimal(0)
    for value in _elements(values):
        total = _ARITHMETIC.add(total, _number(value))
    return total


def _extreme(choose: Callable[[list[Decimal]], Decimal]) -> Callable[..., Decimal]:
    def chosen(*values: object) -> Decimal:
        candidates = _elements(values[0]) if len(values) == 1 else values
        if not candidates:
            raise ExpressionError("the smallest or largest of nothing is not known")
        return choose([_number(value) for value in candidates])

    return chosen


def _as_number(value: object) -> Decimal:
    if isinstance(value, str):
        if _NUMERIC_TEXT.fullmatch(value) is None:
            raise ExpressionError("number() needs text such as 12.50")
        return Decimal(value)
    return _number(value)


FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "abs": lambda value: _number(value).copy_abs(),
    "all": lambda values: all(truth_of(value) for value in _elements(values)),
    "any": lambda values: any(truth_of(value) for value in _elements(values)),
    "len": _length,
    "max": _extreme(max),
    "min": _extreme(min),
    "number": _as_number,
    "sum": _sum,
}
"""All functions that an expression can call."""
