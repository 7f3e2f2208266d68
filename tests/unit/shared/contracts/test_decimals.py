"""Numbers on the wire: what is read exactly, and what is refused with a reason."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.contracts.decimals import (
    Amount,
    AmountNotNegative,
    ExchangeRate,
    Percentage,
    Quantity,
    TotalAmount,
    UnitPrice,
)

AMOUNT = TypeAdapter[Decimal](Amount)


def _message(adapter: TypeAdapter[Decimal], value: object) -> str:
    with pytest.raises(ValidationError) as refused:
        adapter.validate_python(value)
    (error,) = refused.value.errors()
    return error["msg"]


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("100.00", "100.00"),
        ("-0.01", "-0.01"),
        ("0", "0"),
        ("007.5", "7.5"),
        ("999999999999999999", "999999999999999999"),
        ("999999999999.999999", "999999999999.999999"),
        ("-123456789012.345678", "-123456789012.345678"),
        ("1.00000000", "1.000000"),
        (100, "100"),
        (-7, "-7"),
        (999_999_999_999_999_999, "999999999999999999"),
        (Decimal("1.5"), "1.5"),
        (Decimal("1E+2"), "100"),
    ],
)
def test_plain_numbers_are_read_exactly(given: object, number: str) -> None:
    read = AMOUNT.validate_python(given)
    assert str(read) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1e3",
        "1E-2",
        "+1",
        " 1",
        "1 ",
        "1\n",
        ".5",
        "1.",
        "1,5",
        "1_000",
        "0x1",
        "--1",
        "-",
        "1.2.3",
        "NaN",
        "-Infinity",
        "inf",
        "\u0661",
        "\uff11",
        "1\x00",
        "9" * 1_000,
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    assert _message(AMOUNT, text) == "should be plain digits with an optional leading - and fraction"


@pytest.mark.parametrize("value", [1.5, 1.0, 1e300, float("nan"), float("inf")])
def test_fractional_json_numbers_are_refused_with_the_reason(value: float) -> None:
    assert "may have lost digits" in _message(AMOUNT, value)


@pytest.mark.parametrize("value", [True, False, None, [], {}, ["1"], b"1"])
def test_what_is_no_number_is_refused(value: object) -> None:
    assert _message(AMOUNT, value) == 'should be a decimal string such as "100.00"'


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), Decimal("-sNaN")])
def test_our_own_numbers_are_finite(value: Decimal) -> None:
    assert _message(AMOUNT, value) == "should be a finite number"


@pytest.mark.parametrize(
    "value",
    [
        "1" * 19,
        "-" + "1" * 19,
        "1234567890123.123456",
        10**18,
        -(10**18),
        pytest.param(10**10_000, id="endless"),
        Decimal("1E+18"),
    ],
)
def test_at_most_eighteen_digits(value: object) -> None:
    assert _message(AMOUNT, value) == "should have at most 18 digits"


def test_zeros_at_the_end_make_no_number_too_long() -> None:
    assert AMOUNT.validate_python(f"-{'1' * 18}.00") == Decimal(f"-{'1' * 18}")


@pytest.mark.parametrize("annotation", [Amount, UnitPrice, Quantity])
def test_at_most_six_decimals_and_never_rounded(annotation: Any) -> None:
    adapter = TypeAdapter[Decimal](annotation)
    assert adapter.validate_python("0.123456") == Decimal("0.123456")
    assert _message(adapter, "0.1234567") == "should have at most 6 decimals"
    assert _message(adapter, Decimal("0.1234567")) == "should have at most 6 decimals"


@pytest.mark.parametrize(
    ("annotation", "within", "beyond"),
    [
        (AmountNotNegative, ["0", "-0", "0.01"], ["-0.01"]),
        (Percentage, ["0", "20", "1000"], ["-1", "1000.01"]),
        (ExchangeRate, ["0.000000000001", "1000000000"], ["0", "-1", "1000000000.1"]),
        (TotalAmount, ["9" * 30], ["9" * 31]),
    ],
)
def test_bounds(annotation: Any, within: list[str], beyond: list[str]) -> None:
    adapter = TypeAdapter[Decimal](annotation)
    for text in within:
        assert adapter.validate_python(text) == Decimal(text)
    for text in beyond:
        assert _message(adapter, text).startswith("should ")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**11), max_value=10**11))
def test_what_is_written_is_read_again_without_loss(number: Decimal) -> None:
    written = AMOUNT.dump_json(number)
    assert AMOUNT.validate_python(json.loads(written)) == number
    assert b"E" not in written


def test_negative_zero_is_written_as_zero() -> None:
    assert AMOUNT.dump_json(AMOUNT.validate_python("-0.00")) == b'"0.00"'
