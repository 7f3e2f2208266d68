"""Tax of lines and documents (documents.md section 2.3)."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final

from accounting_connector.domain.countries import EU_MEMBERS, is_vat_id, usual_code
from shared.money import ZERO, exact_product, exact_sum, round_to_minor_unit

EU: Final = "EU"
"""The country of a rule that holds for every member state but the company's own."""

_PERCENT: Final = Decimal("0.01")
_PLACE_OF_SUPPLY: Final = frozenset({"AE", "G", "K", "O"})
_SET_ASIDE_BY_IT: Final = frozenset({"S", "Z", "E"})
_FOR_BUSINESS_ONLY: Final = frozenset({"AE", "K"})


@dataclass(frozen=True, slots=True)
class Tax:
    """Category (a code of EN 16931, such as S, Z, E, O), rate in percent, and why there is none: in words, by code."""

    category: str
    rate: Decimal
    reason: str | None = None
    reason_code: str | None = None


ZERO_RATED: Final = Tax("Z", ZERO)
NOT_SUBJECT: Final = Tax("O", ZERO)


class Buyer(StrEnum):
    """What is known of a customer: a business has a tax id that begins with a country, and is not marked private."""

    BUSINESS = "business"
    PRIVATE = "private"
    UNKNOWN = "unknown"


class OnTaxRuleMissing(StrEnum):
    """What a company wants for a line that no rule holds for."""

    REFUSE = "refuse"
    ZERO_RATED = "zero_rated"


@dataclass(frozen=True, slots=True)
class TaxRule:
    """A company's rule; None stands for any services product, customer country, buyer, or for no end of its time."""

    services_product: str | None
    country: str | None
    tax: Tax
    buyer: Buyer | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    product_key: str | None = field(init=False, compare=False)
    """The services product as products are compared."""

    def __post_init__(self) -> None:
        """Work out once what each line is compared with."""
        object.__setattr__(self, "product_key", product_key(self.services_product))

    @property
    def scope(self) -> tuple[str | None, str | None, Buyer | None]:
        """What two rules may share only if their times do not overlap."""
        return self.product_key, usual_code(self.country), self.buyer


@dataclass(frozen=True, slots=True)
class Seller:
    """The company, as far as it decides on tax. `is_registered`: it has a tax id or a tax registration."""

    country: str | None
    is_registered: bool
    rules: tuple[TaxRule, ...]
    on_rule_missing: OnTaxRuleMissing | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """The account, as far as it decides on tax."""

    country: str | None
    buyer: Buyer


@dataclass(frozen=True, slots=True)
class TaxFinding:
    """The tax of a line, with the warning `tax_rule_missing` or without; or None, with the code that refuses it."""

    tax: Tax | None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """The tax of all lines of one category and rate; amounts in the document's currency."""

    category: str
    rate: Decimal
    taxable: Decimal
    tax: Decimal
    reason: str | None = None
    reason_code: str | None = None


@lru_cache(maxsize=4_096)
def product_key(product: str | None) -> str | None:
    """A services product as products are compared: in NFC, without format characters, blanks and case all alike."""
    if product is None:
        return None
    shown = "".join(
        " " if unicodedata.category(letter) == "Zs" or letter.isspace() else letter
        for letter in unicodedata.normalize("NFC", product)
        if unicodedata.category(letter) != "Cf"
    )
    return unicodedata.normalize("NFC", " ".join(shown.split()).casefold())


def buyer_of(tax_id: str | None, *, is_private: bool) -> Buyer:
    """What the customer is: private where it is marked so, a business by its tax id, else unknown."""
    if is_private:
        return Buyer.PRIVATE
    return Buyer.BUSINESS if is_vat_id(tax_id) else Buyer.UNKNOWN


def tax_of_product(
    services_product: str | None, tax_date: date | None, seller: Seller, customer: Customer
) -> TaxFinding:
    """The tax of a line: that of the most specific rule that holds, the first of equals.

    Where a rule of AE, G, K or O that names the customer's country holds, rules of S, Z and E that name none are left
    aside; of the others product goes before country, the country itself before EU, country before buyer.
    `tax_date`: the line's last day of service, else its event's date.
    """
    if not seller.is_registered:
        return _without_registration(seller, services_product, tax_date, customer)
    holding = list(_holding(seller, services_product, tax_date, customer))
    if any(rule.tax.category in _PLACE_OF_SUPPLY and rule.country is not None for rule in holding):
        holding = [
            rule for rule in holding if rule.country is not None or rule.tax.category not in _SET_ASIDE_BY_IT
        ]
    if holding:
        return TaxFinding(max(holding, key=_specificity).tax)
    refuses = seller.on_rule_missing is OnTaxRuleMissing.REFUSE
    if refuses or (seller.rules and seller.on_rule_missing is None):
        return TaxFinding(None, "tax_rule_missing")
    return TaxFinding(ZERO_RATED, "tax_rule_missing")


def overlapping_rules(rules: Sequence[TaxRule]) -> Iterator[tuple[int, int]]:
    """The places of two rules alike in product, country and buyer whose times overlap; first the earlier one."""
    alike: dict[object, list[int]] = {}
    for place, rule in enumerate(rules):
        earlier = alike.setdefault(rule.scope, [])
        yield from ((other, place) for other in earlier if _overlap(rules[other], rule))
        earlier.append(place)


def tax_totals(taxed_amounts: Iterable[tuple[Tax, Decimal]], currency: str) -> tuple[TaxTotal, ...]:
    """One total per category and rate, in that order; the tax is rounded once, on the sum of its lines.

    Different reasons within one category and rate are all named; a reason's code only if all lines have the same.
    """
    amounts: dict[tuple[str, Decimal], list[Decimal]] = {}
    reasons: dict[tuple[str, Decimal], dict[str, None]] = {}
    codes: dict[tuple[str, Decimal], set[str | None]] = {}
    for tax, amount in taxed_amounts:
        key = (tax.category, tax.rate)
        amounts.setdefault(key, []).append(amount)
        codes.setdefault(key, set()).add(tax.reason_code)
        if tax.reason:
            reasons.setdefault(key, {})[tax.reason] = None
    totals = []
    for key in sorted(amounts):
        category, rate = key
        taxable = exact_sum(amounts[key])
        reason = "; ".join(reasons.get(key, ())) or None
        code = codes[key].pop() if len(codes[key]) == 1 else None
        totals.append(TaxTotal(category, rate, taxable, rounded_tax(taxable, rate, currency), reason, code))
    return tuple(totals)


def rounded_tax(taxable: Decimal, rate: Decimal, currency: str) -> Decimal:
    """The tax at this rate, rounded half-up to the currency's minor unit."""
    return round_to_minor_unit(exact_product(exact_product(taxable, rate), _PERCENT), currency)


def _without_registration(
    seller: Seller, product: str | None, tax_date: date | None, customer: Customer
) -> TaxFinding:
    if any(rule.tax.category != NOT_SUBJECT.category for rule in seller.rules):
        return TaxFinding(None, "seller_tax_id_missing")
    holding = list(_holding(seller, product, tax_date, customer))
    return TaxFinding(max(holding, key=_specificity).tax if holding else NOT_SUBJECT)


def _holding(
    seller: Seller, product: str | None, tax_date: date | None, customer: Customer
) -> Iterator[TaxRule]:
    key = product_key(product)
    country = usual_code(customer.country)
    is_abroad_in_eu = country in EU_MEMBERS and country != usual_code(seller.country)
    for rule in seller.rules:
        if rule.product_key not in {None, key}:
            continue
        if rule.country is not None and not (
            is_abroad_in_eu if rule.country == EU else usual_code(rule.country) == country
        ):
            continue
        if _suits(rule, customer.buyer) and _is_valid(rule, tax_date):
            yield rule


def _suits(rule: TaxRule, buyer: Buyer) -> bool:
    if rule.buyer is Buyer.BUSINESS or rule.tax.category in _FOR_BUSINESS_ONLY:
        return buyer is Buyer.BUSINESS
    return rule.buyer is None or buyer is not Buyer.BUSINESS


def _is_valid(rule: TaxRule, tax_date: date | None) -> bool:
    if tax_date is None:
        return rule.valid_from is None and rule.valid_to is None
    return (rule.valid_from or date.min) <= tax_date <= (rule.valid_to or date.max)


def _overlap(one: TaxRule, other: TaxRule) -> bool:
    begins = max(one.valid_from or date.min, other.valid_from or date.min)
    return begins <= min(one.valid_to or date.max, other.valid_to or date.max)


def _specificity(rule: TaxRule) -> tuple[bool, int, bool]:
    country = 0 if rule.country is None else 1 if rule.country == EU else 2
    return rule.services_product is not None, country, rule.buyer is not None
