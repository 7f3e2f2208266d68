"""Numbers on the wire: decimal strings or JSON integers, bounded, never rounded (contract.md section 1)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from shared.money import AMOUNT_DIGITS_MAX, UNIT_DECIMALS_MAX, format_number

TOTAL_DIGITS_MAX: Final = 30
"""Most digits of a sum: 20,000 items of 18 digits need 23."""

RATE_DECIMALS_MAX: Final = 12
"""Most decimals of an exchange rate or a ratio."""

_PLAIN: Final = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?")
_TEXT_LENGTH_MAX: Final = 64


def _refused(kind: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "{reason}", {"reason": message})


@dataclass(frozen=True)
class DecimalText:
    """A decimal of the wire, as an annotation: `Annotated[Decimal, DecimalText(18, 6)]`.

    Accepted are plain ASCII digits with an optional leading `-` and an optional fraction, JSON integers, and,
    from our own code, finite `Decimal` values. Refused are exponents, a leading `+`, blanks, NaN, infinities,
    booleans, and fractional JSON numbers, which have lost digits before they are seen. Zeros after the last
    permitted decimal change nothing and are dropped. `minimum` and `maximum` bound the number inclusively,
    `above` exclusively.
    """

    digits_max: int
    decimals_max: int
    minimum: Decimal | None = None
    above: Decimal | None = None
    maximum: Decimal | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._parser(),
            serialization=core_schema.plain_serializer_function_ser_schema(
                format_number, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        pattern = rf"^-?[0-9]{{1,{self.digits_max}}}(\.[0-9]{{1,{self.decimals_max}}})?$"
        text: JsonSchemaValue = {"type": "string", "pattern": pattern, "description": "a decimal string"}
        if handler.mode == "serialization":
            return text
        return {"anyOf": [text, {"type": "integer"}]}

    def _parser(self) -> Callable[[object], Decimal]:
        # Nearly every number is a short canonical string: one match in C, and none of the explanations below.
        canonical = re.compile(rf"-?[0-9]+(?:\.[0-9]{{1,{self.decimals_max}}})?").fullmatch
        length_max = self.digits_max
        bounded = (self.minimum, self.above, self.maximum) != (None, None, None)

        def parse(value: object) -> Decimal:
            if type(value) is str and len(value) <= length_max and canonical(value) is not None:
                number = Decimal(value)
            else:
                number = self._parse_carefully(value)
            if bounded:
                self._check_bounds(number)
            return number

        return parse

    def _parse_carefully(self, value: object) -> Decimal:
        """Read what is no short canonical string, or say why it is refused."""
        if isinstance(value, Decimal):
            if not value.is_finite():
                raise _refused("decimal_not_finite", "should be a finite number")
            value = format_number(value)
        elif isinstance(value, float):
            raise _refused(
                "decimal_from_float",
                'should be a decimal string such as "100.00": a fractional JSON number may have lost digits',
            )
        elif type(value) is int:
            # Compared, not printed: Python refuses to print integers of several thousand digits.
            if abs(value) >= 10**self.digits_max:
                raise self._too_many_digits()
            return Decimal(value)
        if not isinstance(value, str):
            raise _refused("decimal_type", 'should be a decimal string such as "100.00"')
        match = _PLAIN.fullmatch(value) if len(value) <= _TEXT_LENGTH_MAX else None
        if match is None:
            raise _refused("decimal_text", "should be plain digits with an optional leading - and fraction")
        whole, fraction = match[1], match[2] or ""
        surplus = fraction[self.decimals_max :]
        if surplus.strip("0"):
            raise _refused("decimal_places", f"should have at most {self.decimals_max} decimals")
        fraction = fraction[: self.decimals_max]
        if len(whole) + len(fraction) > self.digits_max:
            # Zeros at the end say nothing, so they make no number too long either.
            fraction = fraction.rstrip("0")
            if len(whole) + len(fraction) > self.digits_max:
                raise self._too_many_digits()
        return Decimal(f"{'-' * value.startswith('-')}{whole}.{fraction}")

    def _too_many_digits(self) -> PydanticCustomError:
        return _refused("decimal_digits", f"should have at most {self.digits_max} digits")

    def _check_bounds(self, number: Decimal) -> None:
        if self.minimum is not None and number < self.minimum:
            raise _refused("decimal_minimum", f"should be at least {self.minimum}")
        if self.above is not None and number <= self.above:
            raise _refused("decimal_above", f"should be greater than {self.above}")
        if self.maximum is not None and number > self.maximum:
            raise _refused("decimal_maximum", f"should be at most {self.maximum}")


Amount = Annotated[Decimal, DecimalText(AMOUNT_DIGITS_MAX, UNIT_DECIMALS_MAX)]
"""An amount of money in a currency named beside it; see `shared.contracts.base.to_minor_units`."""

AmountNotNegative = Annotated[Decimal, DecimalText(AMOUNT_DIGITS_MAX, UNIT_DECIMALS_MAX, minimum=Decimal(0))]
"""An amount that cannot be below zero: a tolerance, a threshold."""

TotalAmount = Annotated[Decimal, DecimalText(TOTAL_DIGITS_MAX, UNIT_DECIMALS_MAX)]
"""A sum of amounts, which may have more digits than any one of them."""

UnitPrice = Annotated[Decimal, DecimalText(AMOUNT_DIGITS_MAX, UNIT_DECIMALS_MAX)]
"""A price per unit, at most 6 decimals (domain.md, opening section)."""

Quantity = Annotated[Decimal, DecimalText(AMOUNT_DIGITS_MAX, UNIT_DECIMALS_MAX)]
"""A quantity, at most 6 decimals (domain.md, opening section)."""

Percentage = Annotated[
    Decimal,
    DecimalText(AMOUNT_DIGITS_MAX, UNIT_DECIMALS_MAX, minimum=Decimal(0), maximum=Decimal(1000)),
]
"""A percentage: `20` is 20 %; between 0 and 1000."""

ExchangeRate = Annotated[
    Decimal,
    DecimalText(AMOUNT_DIGITS_MAX, RATE_DECIMALS_MAX, above=Decimal(0), maximum=Decimal(1_000_000_000)),
]
"""How much of the one currency is one unit of the other; above 0, at most a thousand million."""

Ratio = Annotated[Decimal, DecimalText(TOTAL_DIGITS_MAX, RATE_DECIMALS_MAX)]
"""A computed quotient: billed ÷ bookings."""
