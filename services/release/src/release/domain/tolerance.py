"""The tolerance of a budget: the customer account's amount in the budget's currency (domain.md section 3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from shared.money import ZERO, exact_product, round_to_minor_unit


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a budget may be overrun by, in its currency, and how it came about.

    `rate` is the exchange rate used; None where none was needed or none is known. `note` says in words why the
    tolerance is what it is; both are kept with the decision.
    """

    amount: Decimal
    rate: Decimal | None = None
    note: str | None = None


NO_TOLERANCE: Final = Tolerance(ZERO)
"""The account sets no tolerance."""


def tolerance_of(
    account_tolerance: tuple[Decimal, str] | None,
    budget_currency: str,
    exchange_rates: Mapping[tuple[str, str], Decimal],
) -> Tolerance:
    """The account's tolerance (amount, currency) in the budget's currency, rounded half up to its minor unit.

    `exchange_rates` are by (from, to); only the direction from the account's to the budget's currency counts. Without a
    rate the tolerance is 0, and the note says so.
    """
    if account_tolerance is None:
        return NO_TOLERANCE
    amount, currency = account_tolerance
    if currency == budget_currency:
        return Tolerance(amount)
    rate = exchange_rates.get((currency, budget_currency))
    if rate is None:
        return Tolerance(ZERO, None, f"no exchange rate from {currency} to {budget_currency}: no tolerance")
    converted = round_to_minor_unit(exact_product(amount, rate), budget_currency)
    return Tolerance(converted, rate, f"{amount} {currency} at {currency}-{budget_currency} {rate}")
