"""What EN 16931 asks of a document before it can be written as XML, and why one cannot (domain.md section 4, "XML").

The checks name in our words what the norm's rules would refuse, so that nobody gets an invalid file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from accounting_connector.domain.companies import Party
from accounting_connector.domain.countries import NORM_CODES, is_vat_id, tidy_tax_id
from accounting_connector.domain.reasons import Reason
from accounting_connector.domain.tax import TaxTotal
from accounting_connector.rendering.model import Rendering
from accounting_connector.rendering.texts import given
from shared.money import ZERO, had_ended, minor_unit_digits

NOT_SUBJECT: Final = "O"

_DECIMALS_MAX: Final = 2
_UNLISTED_CURRENCIES: Final = frozenset({"STN", "XAD"})
"""Currencies of ISO 4217 in use that the norm's code list does not have."""
_NORM_PUBLISHED: Final = date(2017, 6, 28)
"""A currency that ended since was in the list while it was money: what was billed in it stays expressible."""

_HALF: Final = Decimal("0.5")
_TAXABLE_BOUND: Final = Decimal(10) ** 15
"""The official rules compare taxable amounts in binary floating point, which loses units beyond this."""


@dataclass(frozen=True, slots=True)
class Exemption:
    """Why a category bears no tax: the norm's code (BT-121), and the text (BT-120) where the tax rule gives none."""

    code: str | None
    text: str


TAXED: Final = frozenset({"S", "L", "M"})
"""Standard rate, and the taxes of the Canaries (IGIC) and of Ceuta and Melilla (IPSI)."""

EXEMPTIONS: Final = {
    "E": Exemption(None, "Exempt from VAT"),
    "AE": Exemption("VATEX-EU-AE", "Reverse charge"),
    "G": Exemption("VATEX-EU-G", "Export outside the EU"),
    NOT_SUBJECT: Exemption("VATEX-EU-O", "Not subject to VAT"),
}
_UNTAXED: Final = frozenset({"Z", *EXEMPTIONS})


def country_code(party: Party) -> str | None:
    """The country of a party's address in the norm's code list (BT-40, BT-55); None if it is missing or unknown."""
    return NORM_CODES.get(party.address.country or "")


def tax_id(party: Party) -> str | None:
    """A party's tax id, or else its tax registration, as identifiers are compared: without blanks, in capitals."""
    return given(tidy_tax_id(party.tax_id)) or given(tidy_tax_id(party.tax_registration))


def reasons_against(rendering: Rendering) -> list[Reason]:
    """Everything that keeps a document from being written to EN 16931; nothing if it can be."""
    return [
        *_currency_reasons(rendering.currency),
        *_party_reasons("seller", rendering.seller),
        *_party_reasons("buyer", rendering.buyer),
        *_tax_reasons(rendering.taxes),
        *_tax_id_reasons(rendering),
    ]


def _currency_reasons(currency: str) -> Iterator[Reason]:
    digits = minor_unit_digits(currency)
    if digits > _DECIMALS_MAX:
        message = f"{currency} has {digits} decimals, and the XML can hold {_DECIMALS_MAX}"
    elif currency in _UNLISTED_CURRENCIES or had_ended(currency, _NORM_PUBLISHED):
        message = f"{currency} is not in the XML's list of currencies"
    else:
        return
    yield Reason("currency_not_expressible", message, {"currency": currency})


def _party_reasons(role: str, party: Party) -> Iterator[Reason]:
    detail = {"id": party.id}
    if given(party.name) is None:
        yield Reason(f"{role}_name_missing", f"The {role} {party.id} has no name", detail)
    country = party.address.country
    if not country:
        yield Reason(
            f"{role}_country_missing", f"The address of the {role} {party.id} has no country", detail
        )
    elif country_code(party) is None:
        yield Reason(
            f"{role}_country_unknown",
            f"The country {country!r} of the {role} {party.id} is not a code of ISO 3166",
            {**detail, "country": country},
        )


def _tax_reasons(taxes: tuple[TaxTotal, ...]) -> Iterator[Reason]:
    categories = {tax.category for tax in taxes}
    for category in sorted(categories - TAXED - _UNTAXED):
        yield Reason(
            "tax_category_not_expressible",
            f"Tax category {category!r} is none of {', '.join(sorted(TAXED | _UNTAXED))}",
            {"category": category},
        )
    if NOT_SUBJECT in categories and len(categories) > 1:
        yield Reason(
            "tax_mix_not_expressible",
            "Lines that are not subject to tax (O) cannot stand beside others in one XML",
            {"categories": sorted(categories)},
        )
    for tax in taxes:
        if abs(tax.taxable) >= _TAXABLE_BOUND:
            yield Reason(
                "amount_not_expressible",
                f"The taxable amount {tax.taxable} has more than 15 digits before its point",
                {"taxable": str(tax.taxable)},
            )
        if not _is_rate_expressible(tax):
            yield Reason(
                "tax_rate_not_expressible",
                f"Tax category {tax.category} cannot have a rate of {tax.rate} %",
                {"category": tax.category, "rate": str(tax.rate)},
            )


def _is_rate_expressible(tax: TaxTotal) -> bool:
    if tax.category in _UNTAXED:
        return tax.rate == ZERO
    if tax.category == "S" and tax.rate == ZERO:
        return False
    # The official rule BR-CO-17 rounds the rate to whole percent, and then wants no tax.
    return tax.rate >= _HALF or abs(tax.tax) < _HALF


def _tax_id_reasons(rendering: Rendering) -> Iterator[Reason]:
    categories = {tax.category for tax in rendering.taxes}
    seller, buyer = tax_id(rendering.seller), tax_id(rendering.buyer)
    if seller is None and categories - {NOT_SUBJECT}:
        yield Reason(
            "seller_tax_id_missing",
            f"The seller {rendering.seller.id} needs a tax id",
            {"id": rendering.seller.id},
        )
    elif "G" in categories and not is_vat_id(seller):
        yield Reason(
            "seller_vat_id_missing",
            f"An export needs a VAT id of the seller {rendering.seller.id} that begins with its country",
            {"id": rendering.seller.id},
        )
    if "AE" in categories and not is_vat_id(buyer):
        yield Reason(
            "buyer_vat_id_missing",
            f"A reverse charge needs a VAT id of the buyer {rendering.buyer.id} that begins with its country",
            {"id": rendering.buyer.id},
        )
