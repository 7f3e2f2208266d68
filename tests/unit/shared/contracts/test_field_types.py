"""Ids, texts, currencies, dates, instants and versions: what is taken and what is refused."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.contracts.base import (
    Code,
    Count,
    CountryCode,
    CurrencyCode,
    Date,
    Description,
    DocumentDate,
    Email,
    Id,
    Instant,
    MessageIds,
    Name,
    RequestIds,
    UserId,
    Version,
    check_unique,
    to_minor_units,
    to_minor_units_in_list,
)


def _read(annotation: Any, value: object) -> Any:
    return TypeAdapter[Any](annotation).validate_python(value)


def _is_refused(annotation: Any, value: object) -> bool:
    try:
        _read(annotation, value)
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize(
    ("annotation", "taken", "refused"),
    [
        (
            Id,
            ["a", "A-Z.0_9:x", "x" * 80],
            ["", "x" * 81, "a b", "a\n", "\n", "é", "a/b", "a\x00", 1, None, b"a"],
        ),
        (Name, ["", "é" * 500, "a\nb"], ["x" * 501, "a\x00b", "\ud800", 1, None, b"a"]),
        (Description, ["", "x" * 10_000], ["x" * 10_001, "\x00", "a\udfff"]),
        (Email, ["", "a@b.example", "no address"], ["a@b\r\nBcc: c", "a\nb", "x" * 321, "a\x00"]),
        (UserId, ["auth0|4711", "é"], ["", "x" * 256, "a\n", "a\x00"]),
        (CountryCode, ["GB"], ["gb", "GBR", "", "G1", "ÄÖ"]),
        (
            CurrencyCode,
            ["GBP", "JPY", "KWD", "BGN", "DEM"],
            ["gbp", "XXX", "XAU", "", "GBPX", "ZZZ", 826, None],
        ),
        (Code, ["cap_exceeded", "a"], ["", "A", "1a", "a-b", "a" * 81]),
        (Version, [1, 2**63 - 1], [0, -1, 2**63, True, "1", 1.0, None]),
        (Count, [0, 2**63 - 1], [-1, 2**63, False, "0", 0.0]),
        (MessageIds, [["a"], ["a"] * 1_000], [[], ["a"] * 1_001, "a", [""], None, {"a": 1}]),
        (RequestIds, [["a"], ["a"] * 100_000], [[], ["a"] * 100_001]),
    ],
)
def test_what_is_taken_and_what_is_refused(annotation: Any, taken: list[Any], refused: list[Any]) -> None:
    for value in taken:
        assert _read(annotation, value) == value
    for value in refused:
        assert _is_refused(annotation, value), value


@pytest.mark.parametrize("text", ["2026-11-20", "0001-01-01", "9999-12-31", "2024-02-29"])
def test_dates_are_read(text: str) -> None:
    assert _read(Date, text).isoformat() == text
    assert _read(Date, date.fromisoformat(text)).isoformat() == text


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2026-11-20T00:00:00Z",
        "2026-11-20 ",
        "20261120",
        "2026-W47-5",
        "2026-1-1",
        "2026-02-29",
        "0000-01-01",
        "2026-13-01",
        "26-11-20",
        "+026-11-20",
        "\uff12026-11-2",
        "\u0662\u0660\u0662\u0666-11-20",
        "1763596800",
        1763596800,
        1.5,
        True,
        None,
        [],
        datetime(2026, 11, 20, tzinfo=UTC),
    ],
)
def test_other_dates_are_refused(value: object) -> None:
    assert _is_refused(Date, value)


def test_a_documents_date_leaves_room_to_count_days() -> None:
    assert _read(DocumentDate, "2026-11-20") == date(2026, 11, 20)
    assert _read(DocumentDate, "2999-12-31") + timedelta(days=36_500)
    assert _is_refused(DocumentDate, "3000-01-01")
    assert _is_refused(DocumentDate, "1899-12-31")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-20T09:00:00Z", datetime(2026, 11, 20, 9, tzinfo=UTC)),
        ("2026-11-20t09:00:00z", datetime(2026, 11, 20, 9, tzinfo=UTC)),
        ("2026-11-20T10:00:00+01:00", datetime(2026, 11, 20, 9, tzinfo=UTC)),
        ("2026-11-20T03:30:00-05:30", datetime(2026, 11, 20, 9, tzinfo=UTC)),
        ("2026-11-20T09:00:00.5Z", datetime(2026, 11, 20, 9, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-20T09:00:00.123456789Z", datetime(2026, 11, 20, 9, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_instants_are_read_in_utc(text: str, instant: datetime) -> None:
    read = _read(Instant, text)
    assert read == instant
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-20T09:00:00",
        "2026-11-20",
        "2026-11-20 09:00:00Z",
        "2026-11-20T09:00Z",
        "2026-11-20T09:00:00+0100",
        "2026-11-20T24:00:01Z",
        "2026-11-20T09:60:00Z",
        "2026-11-20T09:00:60Z",
        "2026-11-20T09:00:00+25:00",
        "20261120T090000Z",
        "2026-W47-5T09:00:00Z",
        "2026-11-20T09:00:00,5Z",
        "2026-11-20T09:00:00Z\n",
        "0001-01-01T00:00:00+23:00",
        "9999-12-31T23:59:59-23:00",
        "\u0662\u0660\u0662\u0666-11-20T09:00:00Z",
        "",
        1763596800,
        1.5,
        True,
        None,
        [],
        datetime(2026, 11, 20),  # noqa: DTZ001  # naive on purpose
    ],
)
def test_other_instants_are_refused(value: object) -> None:
    assert _is_refused(Instant, value)


def test_our_own_instants_are_normalised_and_written_with_z() -> None:
    adapter = TypeAdapter[datetime](Instant)
    read = adapter.validate_python(datetime(2026, 11, 20, 10, tzinfo=timezone(timedelta(hours=1))))
    assert adapter.dump_json(read) == b'"2026-11-20T09:00:00Z"'


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_are_written_and_read_without_loss(instant: datetime) -> None:
    adapter = TypeAdapter[datetime](Instant)
    written = adapter.dump_python(instant, mode="json")
    assert adapter.validate_python(written) == instant


@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text: str) -> None:
    for annotation in (Id, Name, Email, CurrencyCode, Date, Instant, DocumentDate, CountryCode):
        if not _is_refused(annotation, text):
            assert "\x00" not in text


class _Line(BaseModel):
    amount: Decimal | None


def test_an_amount_beyond_its_currency_is_named() -> None:
    to_minor_units("GBP", _Line(amount=None), "amount")
    with pytest.raises(ValidationError) as refused:
        to_minor_units("JPY", _Line(amount=Decimal("1.50")), "amount")
    (error,) = refused.value.errors()
    assert error["loc"] == ("amount",)
    assert error["msg"] == "should have at most 0 decimals in JPY"


def test_an_amount_of_a_list_beyond_its_currency_is_named() -> None:
    lines = [_Line(amount=Decimal("1.0000")), _Line(amount=Decimal("1.1"))]
    to_minor_units_in_list("KWD", lines, "items")
    assert [str(line.amount) for line in lines] == ["1.000", "1.1"]
    with pytest.raises(ValidationError) as refused:
        to_minor_units_in_list(
            "GBP", [_Line(amount=Decimal("1.000")), _Line(amount=Decimal("1.001"))], "items"
        )
    assert refused.value.errors()[0]["loc"] == ("items", 1, "amount")


def test_ids_that_occur_twice_are_refused() -> None:
    check_unique(["a", "b"], "items")
    with pytest.raises(ValidationError) as refused:
        check_unique(["a", "b", "a"], "items")
    assert refused.value.errors()[0]["loc"] == ("items",)
