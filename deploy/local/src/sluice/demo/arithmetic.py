"""The demo's own arithmetic: it checks the services' sums, so it shares none of their code."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

DIGITS: Final = {"GBP": 2, "EUR": 2, "JPY": 0, "KWD": 3}
"""Decimals of the minor unit of every currency that the demo bills in."""

_NONE: Final = Decimal(0)


def rounded(amount: Decimal, currency: str) -> Decimal:
    """The amount rounded half-up, away from zero, to the currency's minor unit."""
    return amount.quantize(Decimal(1).scaleb(-DIGITS[currency]), rounding=ROUND_HALF_UP)


def written(amount: Decimal, currency: str) -> str:
    """The amount as the contract writes it: a decimal string with the currency's digits."""
    figure = rounded(amount, currency)
    return f"{figure or abs(figure):f}"


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Their sum."""
    return sum(amounts, _NONE)


def tax(taxable: Decimal, rate: Decimal, currency: str) -> Decimal:
    """The tax of this rate, in percent, rounded once."""
    return rounded(taxable * rate / 100, currency)
