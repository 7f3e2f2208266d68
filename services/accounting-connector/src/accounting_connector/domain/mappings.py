"""Company mappings: a source path or a static value to a target field (domain.md section 4, "Fields").

Paths are dotted names (`fields.po_number`, `account.name`), read over the fields by name; a list on the
way is read through. A target `lines.<name>` (also `lines[].<name>`) is filled for every line from its
item, or, where the item has nothing there, from its event; other targets are the document's. A name that
no document has is added to it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from shared.money import UNIT_DECIMALS_MAX, format_number

ACCOUNT: Final = "account"
"""The target whose value names an account: it must find exactly one."""

DOCUMENT_TARGETS: Final = frozenset({ACCOUNT, "engagement", "customer_reference"})
LINE_TARGETS: Final = frozenset({"description", "product", "quantity", "unit_price"})
NUMBER_TARGETS: Final = frozenset({"quantity", "unit_price"})

_FIXED: Final = frozenset(
    [
        *(
            "document_id",
            "kind",
            "status",
            "number",
            "date",
            "due_date",
            "currency",
            "billing_event_currency",
        ),
        *("company", "billing_event_ids", "billing_run_id", "lines", "taxes", "total_net", "total_tax"),
        *("total_gross", "excluded_items", "corrects_document_id", "mirrors_document_id", "collection_date"),
        *("left_out_items", "payment_days", "additional_fields"),
    ]
)
_FIXED_ON_LINES: Final = frozenset(
    [
        *("line_id", "billing_event_id", "billing_event_item_id", "amount", "tax_category", "tax_rate"),
        "additional_fields",
    ]
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")
_NUMBER: Final = re.compile(rf"-?[0-9]{{1,18}}(\.[0-9]{{1,{UNIT_DECIMALS_MAX}}})?")
_PATH_NAMES_MAX: Final = 8


class MappingError(ValueError):
    """A mapping that cannot be kept (when it is set), or that finds none or several (when it is used)."""


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """One mapping. `source` is None for a static value."""

    target: str
    on_lines: bool
    source: tuple[str, ...] | None
    value: str | None


def make_mapping(target: str, *, source: str | None = None, value: str | None = None) -> FieldMapping:
    """The mapping, checked. Without a source it is static; a static None empties its target.

    Raises MappingError for a field that follows from the event itself and can have no mapping (amounts, ids,
    numbers, taxes), and for what is not a path.
    """
    prefix, separator, rest = target.replace("[]", "").partition(".")
    if separator and prefix != "lines":
        raise MappingError(f"{target!r} is not a field of a document or of its lines")
    name = rest if separator else prefix
    on_lines = bool(separator) or name in LINE_TARGETS
    if _NAME.fullmatch(name) is None:
        raise MappingError(f"{target!r} is not the name of a field")
    if name in (_FIXED_ON_LINES if on_lines else _FIXED):
        raise MappingError(f"{target!r} follows from the billing event and cannot be mapped")
    if source is not None and value is not None:
        raise MappingError(f"{target!r} has both a source and a value")
    path = None
    if source is not None:
        path = tuple(source.replace("[]", "").split("."))
        if len(path) > _PATH_NAMES_MAX or not all(_NAME.fullmatch(part) for part in path):
            raise MappingError(f"{source!r} is not a path of at most {_PATH_NAMES_MAX} names")
    elif name in NUMBER_TARGETS and (value is None or _NUMBER.fullmatch(value) is None):
        raise MappingError(f"{target!r} needs a number")
    return FieldMapping(name, on_lines, path, value)


def map_value(mapping: FieldMapping, scopes: Sequence[Mapping[str, object]]) -> str | None:
    """What the mapping gives over the first of the scopes in which its path finds anything.

    Raises MappingError if it finds none, or several that differ.
    """
    if mapping.source is None:
        return mapping.value
    for scope in scopes:
        found = list(dict.fromkeys(_found(scope, mapping.source)))
        if len(found) > 1:
            raise MappingError(f"{'.'.join(mapping.source)} finds {len(found)} different values")
        if found:
            return found[0]
    raise MappingError(f"{'.'.join(mapping.source)} finds nothing")


def map_number(mapping: FieldMapping, scopes: Sequence[Mapping[str, object]]) -> Decimal:
    """Like `map_value`, for a quantity or a unit price; raises MappingError also for what is none."""
    text = map_value(mapping, scopes)
    if text is None or _NUMBER.fullmatch(text) is None:
        raise MappingError(f"{text!r} is not a number of at most {UNIT_DECIMALS_MAX} decimals")
    return Decimal(text)


def _found(value: object, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for element in value:
            yield from _found(element, path)
    elif path:
        if isinstance(value, Mapping):
            yield from _found(value.get(path[0]), path[1:])
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, int | Decimal):
        yield format_number(Decimal(value))
    elif isinstance(value, str) and value:
        yield value
