"""Tax of lines and documents (domain.md section 4, "Tax")."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from shared.money import ZERO, exact_product, exact_sum, round_to_minor_unit

_PERCENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Tax:
    """Category (a code of EN 16931, such as S, Z, E, O), rate in percent, and the reason of an exemption."""

    category: str
    rate: Decimal
    reason: str | None = None


ZERO_RATED: Final = Tax("Z", ZERO)
NOT_SUBJECT: Final = Tax("O", ZERO)


@dataclass(frozen=True, slots=True)
class TaxRule:
    """A company's rule; None stands for any services product or any customer country."""

    services_product: str | None
    country: str | None
    tax: Tax


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """The tax of all lines of one category and rate; amounts in the document's currency."""

    category: str
    rate: Decimal
    taxable: Decimal
    tax: Decimal
    reason: str | None = None


def tax_of_product(
    services_product: str | None, country: str | None, *, company_tax_id: str | None, rules: Sequence[TaxRule]
) -> Tax:
    """The tax of a line: that of the most specific rule, the first of equals.

    More specific goes first: product and country, product, country, neither. A company without a tax id:
    not subject (O), whatever its rules; no rule: zero rated (Z).
    """
    if not company_tax_id:
        return NOT_SUBJECT
    for wanted in ((services_product, country), (services_product, None), (None, country), (None, None)):
        for rule in rules:
            if (rule.services_product, rule.country) == wanted:
                return rule.tax
    return ZERO_RATED


def tax_totals(taxed_amounts: Iterable[tuple[Tax, Decimal]], currency: str) -> tuple[TaxTotal, ...]:
    """One total per category and rate, in that order; the tax is rounded once, on the sum of its lines.

    Different reasons within one category and rate are all named.
    """
    amounts: dict[tuple[str, Decimal], list[Decimal]] = {}
    reasons: dict[tuple[str, Decimal], dict[str, None]] = {}
    for tax, amount in taxed_amounts:
        key = (tax.category, tax.rate)
        amounts.setdefault(key, []).append(amount)
        if tax.reason:
            reasons.setdefault(key, {})[tax.reason] = None
    totals = []
    for key in sorted(amounts):
        category, rate = key
        taxable = exact_sum(amounts[key])
        tax_amount = round_to_minor_unit(exact_product(exact_product(taxable, rate), _PERCENT), currency)
        totals.append(TaxTotal(category, rate, taxable, tax_amount, "; ".join(reasons.get(key, ())) or None))
    return tuple(totals)
