"""Money: exact decimals with an ISO 4217 currency (domain.md, opening section).

Computed amounts are rounded half-up (away from zero) to the currency's minor unit, sums are exact, and amounts of
different currencies are never added. On the wire an amount is a decimal string with exactly its currency's digits.
"""

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from functools import cache
from typing import Final

from shared.currencies import CURRENCIES

AMOUNT_DIGITS_MAX: Final = 18
"""Most digits of a received amount, before and after the point together."""

UNIT_DECIMALS_MAX: Final = 6
"""Most decimals of a unit price or a quantity."""

ZERO: Final = Decimal(0)

_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_UP, traps=[Inexact, InvalidOperation])
_ROUNDING: Final = Context(prec=60, rounding=ROUND_HALF_UP, traps=[InvalidOperation])


class UnknownCurrencyError(ValueError):
    """The code is not an ISO 4217 currency with a minor unit, nor was it ever one."""


def minor_unit_digits(currency: str) -> int:
    """Decimals of the currency's minor unit: JPY 0, GBP 2, KWD 3; of a withdrawn one too.

    Raises UnknownCurrencyError for what is not an ISO 4217 code, and for codes without a minor unit (XAU, XXX).
    """
    known = CURRENCIES.get(currency)
    if known is None:
        raise UnknownCurrencyError(f"{currency!r} is not an ISO 4217 currency")
    return known.digits


def had_ended(currency: str, day: date) -> bool:
    """Whether a known currency was no longer money on this day: BGN from 2026-01-01 on."""
    return CURRENCIES[currency].had_ended_on(day)


@cache
def minor_unit(currency: str) -> Decimal:
    """The smallest amount of the currency: 0.01 for GBP, 1 for JPY."""
    return Decimal(1).scaleb(-minor_unit_digits(currency))


def round_to_minor_unit(amount: Decimal, currency: str) -> Decimal:
    """Round a computed amount half-up (away from zero) to the currency's minor unit; zero is never negative."""
    rounded = amount.quantize(minor_unit(currency), context=_ROUNDING)
    return rounded or abs(rounded)


def has_only_minor_units(amount: Decimal, currency: str) -> bool:
    """Whether an amount is a whole number of its currency's minor units, however it is written: `1.00` in JPY is 1."""
    return amount == amount.quantize(minor_unit(currency), context=_ROUNDING)


def without_surplus_zeros(amount: Decimal, currency: str) -> Decimal | None:
    """A received amount with no more decimals than its currency has; None if a surplus one is not zero.

    Surplus zeros say nothing and are dropped (domain.md, opening section): `100.00` in JPY is 100, `100.50` is refused.
    """
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and -exponent <= minor_unit_digits(currency):
        return amount
    return (
        amount.quantize(minor_unit(currency), context=_EXACT)
        if has_only_minor_units(amount, currency)
        else None
    )


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """Sum without rounding; raises decimal.Inexact rather than lose a digit."""
    total = ZERO
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total


def exact_product(left: Decimal, right: Decimal) -> Decimal:
    """Product without rounding; raises decimal.Inexact rather than lose a digit."""
    return _EXACT.multiply(left, right)


def format_amount(amount: Decimal, currency: str) -> str:
    """The wire form of an amount: exactly the currency's decimals, never an exponent, never a negative zero.

    Raises decimal.Inexact if the amount has more decimals than the currency: what is shown is never rounded here.
    """
    shown = amount.quantize(minor_unit(currency), context=_EXACT)
    return f"{shown or abs(shown):f}"


def format_number(number: Decimal) -> str:
    """The wire form of a unit price, quantity, rate or ratio: plain digits, trailing zeros as given, no exponent."""
    return f"{number or abs(number):f}"
