"""The tax of each line of an event's document, and what speaks against it (documents.md section 2.3)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from accounting_connector.domain.companies import Company, Party
from accounting_connector.domain.corrections import Original, tax_of_correction
from accounting_connector.domain.eligibility import Candidate
from accounting_connector.domain.lines import MappedEvent, MappedItem
from accounting_connector.domain.reasons import Reason
from accounting_connector.domain.tax import (
    Customer,
    Seller,
    Tax,
    TaxFinding,
    buyer_of,
    tax_of_product,
)


@dataclass(frozen=True, slots=True)
class LineTaxes:
    """The tax of each item, in their order; none of them if there are reasons. `warnings` are the document's."""

    taxes: tuple[Tax, ...]
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()


def line_taxes(candidate: Candidate, mapped: MappedEvent) -> LineTaxes:
    """The taxes by the company's rules; without account or company, which is refused elsewhere, none."""
    account, company = mapped.account, candidate.company
    if account is None or company is None:
        return LineTaxes(())
    seller, customer = seller_of(company), customer_of(account)
    found: dict[tuple[object, object], TaxFinding] = {}
    findings = []
    for each in mapped.items:
        day = each.item.date or candidate.event.date
        key = (each.item.services_product, day)
        if key not in found:
            found[key] = tax_of_product(each.item.services_product, day, seller, customer)
        findings.append(found[key])
    problems = [(each, finding) for each, finding in zip(mapped.items, findings, strict=True) if finding.code]
    refused = [(each, finding) for each, finding in problems if finding.tax is None]
    if refused:
        return LineTaxes((), tuple(_refusals(refused, company, account)))
    warned = [each for each, _ in problems]
    warnings = (_zero_rated(candidate, company, warned),) if warned else ()
    return LineTaxes(tuple(finding.tax for finding in findings if finding.tax), warnings=warnings)


def correcting_taxes(original: Original, mapped: MappedEvent) -> LineTaxes:
    """The taxes of an event that corrects this document: the original's, not today's (documents.md section 3.2)."""
    taxes: list[Tax] = []
    refused: dict[str, list[str]] = {}
    for each in mapped.items:
        found = tax_of_correction(original, each.product, each.item.corrects_item_id)
        if isinstance(found, Tax):
            taxes.append(found)
        else:
            refused.setdefault(found, []).append(each.item.item_id)
    words = {
        "corrected_item_unknown": "names an item that is not in document",
        "correction_tax_ambiguous": "could have several rates of document",
    }
    reasons = (
        Reason(
            code,
            f"Item {items[0]} {words[code]} {original.document_id}",
            {"document_id": original.document_id, "items": items},
        )
        for code, items in refused.items()
    )
    return LineTaxes(() if refused else tuple(taxes), tuple(reasons))


def seller_of(company: Company) -> Seller:
    """The company, as far as it decides on tax."""
    party, settings = company.party, company.settings
    is_registered = bool(party.tax_id or party.tax_registration)
    return Seller(party.address.country, is_registered, settings.tax_rules, settings.on_tax_rule_missing)


def customer_of(account: Party) -> Customer:
    """The account, as far as it decides on tax."""
    return Customer(account.address.country, buyer_of(account.tax_id, is_private=account.is_private))


def _refusals(
    refused: list[tuple[MappedItem, TaxFinding]], company: Company, account: Party
) -> Iterator[Reason]:
    name = company.party.id
    if any(finding.code == "seller_tax_id_missing" for _, finding in refused):
        yield Reason(
            "seller_tax_id_missing",
            f"Company {name} has neither a tax id nor a tax registration, but tax rules that tax",
            {"company_id": name},
        )
        return
    products = _products(each for each, _ in refused)
    country, buyer = account.address.country, customer_of(account).buyer.value
    yield Reason(
        "tax_rule_missing",
        f"No tax rule of company {name} holds for {_named(products)} (customer's country "
        f"{country or 'not given'}, buyer {buyer}): add one to the company's `tax_rules`, or set `on_tax_rule_missing`",
        {
            "company_id": name,
            "services_products": products,
            "country": country,
            "buyer": buyer,
            "items": [each.item.item_id for each, _ in refused],
        },
    )


def _zero_rated(candidate: Candidate, company: Company, items: list[MappedItem]) -> Reason:
    products = _products(items)
    return Reason(
        "tax_rule_missing",
        f"No tax rule of company {company.party.id} holds for {_named(products)}: zero rated",
        {
            "company_id": company.party.id,
            "services_products": products,
            "items": [each.item.item_id for each in items],
            "billing_event_ids": [candidate.event.billing_event_id],
        },
    )


def _products(items: Iterable[MappedItem]) -> list[str]:
    return list(dict.fromkeys(each.item.services_product or "" for each in items))


def _named(products: list[str]) -> str:
    shown = ", ".join(repr(product) for product in products[:5])
    return f"{shown} and {len(products) - 5} more" if len(products) > 5 else shown
