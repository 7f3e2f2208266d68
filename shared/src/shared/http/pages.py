"""Lists: `?limit=&cursor=` and `{"items": [...], "next_cursor": ...}` (contract.md section 2).

A cursor holds the sort key of the last item of a page. It is opaque to clients, and not secret: it is checked like
any other input.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError, to_json

from shared.http.problems import FieldError, Problem

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200
CURSOR_LENGTH_MAX: Final = 2048

Item = TypeVar("Item")
KeyValue = str | int | Decimal | datetime | date | None

_KEY_TYPES: Final[dict[type, Any]] = {
    str: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")],
    int: Annotated[int, Field(ge=-(2**63), lt=2**63)],
    Decimal: Annotated[Decimal, Field(max_digits=40)],
    datetime: AwareDatetime,
    date: date,
}


class Page(BaseModel, Generic[Item]):
    """A page of a list; `next_cursor` is null on the last one."""

    model_config = ConfigDict(extra="forbid")

    items: list[Item]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is asked for: at most `limit` items after the one with the sort key `after` (None: the first)."""

    limit: int
    after: tuple[KeyValue, ...] | None

    def cut(
        self, rows: Sequence[Item], key: Callable[[Item], tuple[KeyValue, ...]]
    ) -> tuple[Sequence[Item], str | None]:
        """The page's rows and the cursor of the next one, from up to `limit` + 1 rows; `key` gives a row's sort key."""
        if len(rows) <= self.limit:
            return rows, None
        page = rows[: self.limit]
        return page, encode_cursor(key(page[-1]))


def pages_by(*key: type) -> Any:
    """Dependency of a list sorted by columns of these types (str, int, Decimal, datetime, date).

    `page: Annotated[PageRequest, pages_by(datetime, str)]`. Raises Problem 422 `invalid_cursor`.
    """
    sort_key: Any = tuple[tuple(_KEY_TYPES[part] | None for part in key)]  # type: ignore[misc]
    adapter: TypeAdapter[Any] = TypeAdapter(sort_key)

    async def page_request(
        limit: Annotated[
            int, BeforeValidator(_digits), Query(ge=1, le=LIMIT_MAX, description="most items of a page")
        ] = LIMIT_DEFAULT,
        cursor: Annotated[
            str | None,
            Query(max_length=CURSOR_LENGTH_MAX, description="`next_cursor` of the page before"),
        ] = None,
    ) -> PageRequest:
        return PageRequest(limit, None if cursor is None else _decode_cursor(adapter, cursor))

    return Depends(page_request)


def page_response(items: Sequence[Mapping[str, Any]], next_cursor: str | None) -> dict[str, Any]:
    """The body of a page."""
    return {"items": items, "next_cursor": next_cursor}


def encode_cursor(key: tuple[KeyValue, ...]) -> str:
    """The cursor of the item with this sort key."""
    return base64.urlsafe_b64encode(to_json(key)).rstrip(b"=").decode()


def _decode_cursor(adapter: TypeAdapter[Any], cursor: str) -> tuple[KeyValue, ...]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        after: tuple[KeyValue, ...] = adapter.validate_json(
            base64.b64decode(padded, b"-_", validate=True), strict=True
        )
    except (UnicodeEncodeError, binascii.Error, ValidationError):
        errors = [FieldError("cursor", "should be the next_cursor of a page of this list")]
        raise Problem(422, "invalid_cursor", "The cursor is not valid", errors=errors) from None
    return after


def _digits(value: object) -> object:
    # Left to itself, the conversion would also take "5.0", "+5" and " 5 ".
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise PydanticCustomError("int_parsing", "should be a whole number")
    return value
