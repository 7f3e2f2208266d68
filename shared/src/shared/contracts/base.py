"""The field types that every message is made of: ids, text, currencies, dates, instants, versions.

All are strict, bounded, and hold only what PostgreSQL can hold (no NUL, no lone surrogate). They check
what comes from JSON, by Kafka or by HTTP, and accept our own `date`, `datetime` and `Decimal` values
when a message is made.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from shared.currencies import CURRENCIES
from shared.ids import ID_PATTERN
from shared.money import UnknownCurrencyError, had_ended, minor_unit_digits, without_surplus_zeros

VERSION_MAX: Final = 2**63 - 1
PSA_VERSION_MAX: Final = 4_102_444_800_000_000
"""Microseconds of the year 2100: clocks may count versions, and nobody can block a key for ever."""

NAME_LENGTH_MAX: Final = 500
COUNT_MAX: Final = 2**63 - 1
ITEMS_MAX: Final = 20_000
"""Most items of one billing event."""

MESSAGE_IDS_MAX: Final = 1_000
"""Most ids in a list of one message (contract.md section 1)."""

REQUEST_IDS_MAX: Final = 100_000
"""Most ids in a list of one HTTP request."""

PARTS_MAX: Final = 10_000

_NO_NUL: Final = r"^[^\x00]*$"
_NO_CONTROLS: Final = r"^[^\x00-\x1f\x7f]*$"
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_FIRST_DOCUMENT_YEAR: Final = 1900
_LAST_DOCUMENT_YEAR: Final = 2999

STRICT: Final = ConfigDict(strict=True, populate_by_name=True)


class Reader(BaseModel):
    """A body that others write: what is not known here is ignored."""

    model_config = ConfigDict(**STRICT, extra="ignore")


class Closed(BaseModel):
    """A body in which an unknown field is bad input, since it asks for something that would not be done."""

    model_config = ConfigDict(**STRICT, extra="forbid")


def _currency(value: str) -> str:
    try:
        minor_unit_digits(value)
    except UnknownCurrencyError:
        raise PydanticCustomError("currency", "should be an ISO 4217 currency code") from None
    return value


def _date(value: object) -> date:
    if type(value) is str and len(value) == 10 and value[4] == value[7] == "-" and value.isascii():
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    elif type(value) is date:
        return value
    raise PydanticCustomError("date", "should be a date of the form YYYY-MM-DD")


def _document_date(value: date) -> date:
    if not _FIRST_DOCUMENT_YEAR <= value.year <= _LAST_DOCUMENT_YEAR:
        raise PydanticCustomError("date_range", "should be a date of the years 1900 to 2999")
    return value


def _instant(value: object) -> datetime:
    if type(value) is str and _INSTANT.fullmatch(value) is not None:
        try:
            instant = datetime.fromisoformat(value.upper())
        except ValueError:
            raise _no_instant() from None
    elif isinstance(value, datetime) and value.utcoffset() is not None:
        instant = value
    else:
        raise _no_instant()
    if instant.tzinfo is UTC:
        return instant
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise _no_instant() from None


def _no_instant() -> PydanticCustomError:
    return PydanticCustomError(
        "instant", "should be an RFC 3339 time with an offset, such as 2026-11-20T09:00:00Z"
    )


def _format_instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


Id = Annotated[str, StringConstraints(strict=True, pattern=ID_PATTERN)]
"""1 to 80 characters of `A-Za-z0-9._:-`."""

Name = Annotated[str, StringConstraints(strict=True, max_length=NAME_LENGTH_MAX, pattern=_NO_NUL)]
"""A short text: a name, a product, a reference."""

Description = Annotated[str, StringConstraints(strict=True, max_length=10_000, pattern=_NO_NUL)]
"""A long text."""

Code = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z][a-z0-9_]{0,79}$")]
"""A word of ours: a reason's code, a kind, a status that is not a closed list."""

Email = Annotated[str, StringConstraints(strict=True, max_length=320, pattern=_NO_CONTROLS)]
"""A mail address: bounded and without control characters; whether it is valid, the notifier says."""

Emails = Annotated[str, StringConstraints(strict=True, max_length=2_000, pattern=_NO_CONTROLS)]
"""Mail addresses, separated by `;` or `,`, each alone or as `Name <address>`; which are valid, the notifier says."""

UserId = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255, pattern=_NO_CONTROLS)]
"""A user as the identity provider names them, which need not have the form of our ids."""

CountryCode = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Z]{2}$")]
"""An ISO 3166-1 country code of two letters."""

CurrencyCode = Annotated[
    str,
    StringConstraints(strict=True, max_length=3),
    AfterValidator(_currency),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$", "description": "an ISO 4217 currency code"}),
]

Date = Annotated[
    date,
    PlainValidator(_date),
    PlainSerializer(date.isoformat, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date"}),
]
"""A day, exactly `YYYY-MM-DD`."""

DocumentDate = Annotated[Date, AfterValidator(_document_date)]
"""A day that a document can bear, so that days can be counted from it."""

Instant = Annotated[
    datetime,
    PlainValidator(_instant),
    PlainSerializer(_format_instant, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment with an offset, kept in UTC; of a fraction, microseconds are kept."""

Version = Annotated[int, Field(strict=True, ge=1, le=VERSION_MAX)]
PsaVersion = Annotated[int, Field(strict=True, ge=1, le=PSA_VERSION_MAX)]
"""The version of something that PSA sends (contract.md section 1); what is stored may have a later one from before."""
Count = Annotated[int, Field(strict=True, ge=0, le=COUNT_MAX)]
Part = Annotated[int, Field(strict=True, ge=1, le=PARTS_MAX)]
"""Which part of a divided list this is, or of how many, from 1."""

MessageIds = Annotated[list[Id], Field(min_length=1, max_length=MESSAGE_IDS_MAX)]
RequestIds = Annotated[list[Id], Field(min_length=1, max_length=REQUEST_IDS_MAX)]


class Starter(Reader):
    """Who began a job, run, process run or release."""

    user_id: UserId
    email: Email | None = None


class Address(Reader):
    """A postal address."""

    line1: Name | None = None
    line2: Name | None = None
    city: Name | None = None
    region: Name | None = None
    postcode: Name | None = None
    country: CountryCode | None = None


def field_error(location: tuple[str | int, ...], kind: str, message: str) -> ValidationError:
    """The error of one field found by a check over the whole model: raised there, it names that field."""
    error = PydanticCustomError(kind, "{reason}", {"reason": message})
    return ValidationError.from_exception_data("", [InitErrorDetails(type=error, loc=location, input=None)])


def check_not_ended(day: date, model: BaseModel, *fields: str) -> None:
    """Refuse a currency that had ended on this day (domain.md, opening section). A field may be None."""
    for field in fields:
        currency = getattr(model, field)
        if currency is not None and had_ended(currency, day):
            last_day = CURRENCIES[currency].last_day
            raise field_error((field,), "currency_ended", f"{currency} ended on {last_day}, before {day}")


def to_minor_units(currency: str, model: BaseModel, *fields: str) -> None:
    """Drop the surplus zeros of a model's amounts; refuse one with more decimals than its currency has.

    It is never rounded (domain.md, opening section). A field may be None.
    """
    for field in fields:
        amount = getattr(model, field)
        if amount is None:
            continue
        kept = without_surplus_zeros(amount, currency)
        if kept is None:
            raise _too_many_decimals((field,), currency)
        if kept is not amount:
            setattr(model, field, kept)


def to_minor_units_in_list(
    currency: str, members: Sequence[BaseModel], list_field: str, field: str = "amount"
) -> None:
    """The same for one field of all members of a list: refused is, for example, `items[0].amount`."""
    for index, member in enumerate(members):
        amount = getattr(member, field)
        kept = without_surplus_zeros(amount, currency)
        if kept is None:
            raise _too_many_decimals((list_field, index, field), currency)
        if kept is not amount:
            setattr(member, field, kept)


def _too_many_decimals(location: tuple[str | int, ...], currency: str) -> ValidationError:
    digits = minor_unit_digits(currency)
    return field_error(location, "minor_units", f"should have at most {digits} decimals in {currency}")


def check_unique(ids: Sequence[str], field: str) -> None:
    """Refuse a list in which an id occurs twice."""
    if len(set(ids)) != len(ids):
        raise field_error((field,), "not_unique", "should not hold the same id twice")
