"""A document as UBL 2.1 Invoice or CreditNote to EN 16931 (domain.md section 4, "XML").

Elements stand in the order of the OASIS schemas; BT and BG numbers in comments are the norm's terms.
"""

import copy
from decimal import Decimal
from typing import Final

from lxml import etree

from accounting_connector.domain.companies import Party
from accounting_connector.domain.countries import is_vat_id
from accounting_connector.domain.documents import DocumentLine
from accounting_connector.domain.kinds import DocumentKind, negated
from accounting_connector.domain.tax import TaxTotal
from accounting_connector.rendering.en16931 import (
    EXEMPTIONS,
    NOT_SUBJECT,
    country_code,
    reasons_against,
    tax_id,
)
from accounting_connector.rendering.model import NotRenderedError, PrecedingDocument, Rendering
from accounting_connector.rendering.texts import given, without_forbidden
from shared.money import ZERO, format_amount, format_number

CUSTOMIZATION_ID: Final = "urn:cen.eu:en16931:2017"
DRAFT_NOTE: Final = "DRAFT: this is not a tax document."

_CAC_NAMESPACE: Final = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
_CBC_NAMESPACE: Final = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"
_CAC: Final = f"{{{_CAC_NAMESPACE}}}"
_CBC: Final = f"{{{_CBC_NAMESPACE}}}"
_PREFIXES: Final[dict[str | None, str]] = {"cac": _CAC_NAMESPACE, "cbc": _CBC_NAMESPACE}
_ROOT_NAMESPACE: Final = "urn:oasis:names:specification:ubl:schema:xsd:{}-2"

_PIECE: Final = "C62"
"""The unit "one" of UN/ECE recommendation 20: PSA says how many, not of what."""

_INVOICED_OBJECT_IS_PROJECT: Final = "50"
_PAYMENT_MEANS_NOT_DEFINED: Final = "1"

_Element = etree._Element  # noqa: SLF001 - lxml has no public name for it


def ubl_of(rendering: Rendering) -> bytes:
    """The document as XML, UTF-8; the same document always gives the same bytes.

    Raises NotRenderedError with all reasons (`en16931.reasons_against`) rather than make a file that the norm refuses.
    """
    reasons = reasons_against(rendering)
    if reasons:
        raise NotRenderedError(*reasons)
    is_credit_note = rendering.kind is DocumentKind.SALES_CREDIT_NOTE
    name = "CreditNote" if is_credit_note else "Invoice"
    namespace = _ROOT_NAMESPACE.format(name)
    root = etree.Element(f"{{{namespace}}}{name}", nsmap={None: namespace, **_PREFIXES})
    _add_head(root, rendering, is_credit_note=is_credit_note)
    _add_references(root, rendering, is_credit_note=is_credit_note)
    has_vat_ids = all(tax.category != NOT_SUBJECT for tax in rendering.taxes)
    _add_party(root, "AccountingSupplierParty", rendering.seller, _seller_tax_id(rendering, has_vat_ids))
    _add_party(root, "AccountingCustomerParty", rendering.buyer, _buyer_tax_id(rendering, has_vat_ids))
    _add_payment(root, rendering, is_credit_note=is_credit_note)
    _add_tax_total(root, rendering)
    _add_totals(root, rendering)
    _add_lines(root, rendering, is_credit_note=is_credit_note)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _add(parent: _Element, name: str) -> _Element:
    return etree.SubElement(parent, _CAC + name)


def _add_text(parent: _Element, name: str, text: str) -> _Element:
    element = etree.SubElement(parent, _CBC + name)
    element.text = text
    return element


def _add_given(parent: _Element, name: str, text: str | None) -> None:
    """An element for a text that somebody else wrote, or none where there is nothing to read."""
    written = given(text)
    if written is not None:
        _add_text(parent, name, written)


def _add_amount(parent: _Element, name: str, amount: Decimal, currency: str) -> None:
    _add_text(parent, name, format_amount(amount, currency)).set("currencyID", currency)


def _add_head(root: _Element, rendering: Rendering, *, is_credit_note: bool) -> None:
    _add_text(root, "CustomizationID", CUSTOMIZATION_ID)  # BT-24
    _add_text(root, "ID", rendering.number)  # BT-1
    _add_text(root, "IssueDate", rendering.date.isoformat())  # BT-2
    if is_credit_note:
        _add_text(root, "CreditNoteTypeCode", "381")  # BT-3
    else:
        if rendering.asks_for_payment:
            _add_text(root, "DueDate", rendering.due_date.isoformat())  # BT-9
        _add_text(root, "InvoiceTypeCode", "380")
    if rendering.is_draft:
        _add_text(root, "Note", DRAFT_NOTE)  # BT-22
    _add_text(root, "DocumentCurrencyCode", rendering.currency)  # BT-5
    _add_given(root, "BuyerReference", rendering.buyer_reference)  # BT-10


def _add_references(root: _Element, rendering: Rendering, *, is_credit_note: bool) -> None:
    if rendering.preceding is not None:
        _add_preceding(root, rendering.preceding)
    engagement = given(rendering.engagement)
    if engagement is None:
        return
    if is_credit_note:  # BT-11, for which a UBL credit note has no element of its own
        reference = _add(root, "AdditionalDocumentReference")
        _add_text(reference, "ID", engagement)
        _add_text(reference, "DocumentTypeCode", _INVOICED_OBJECT_IS_PROJECT)
    else:
        _add_text(_add(root, "ProjectReference"), "ID", engagement)


def _add_preceding(root: _Element, preceding: PrecedingDocument) -> None:
    reference = _add(_add(root, "BillingReference"), "InvoiceDocumentReference")  # BG-3
    _add_text(reference, "ID", preceding.number)
    _add_text(reference, "IssueDate", preceding.date.isoformat())


def _seller_tax_id(rendering: Rendering, has_vat_ids: bool) -> tuple[str, str] | None:
    """The seller's identifier and its scheme: a VAT identifier (BT-31), else a tax registration (BT-32)."""
    identifier = tax_id(rendering.seller)
    if identifier is None or not has_vat_ids:
        return None
    return identifier, "VAT" if is_vat_id(identifier) else "TAX"


def _buyer_tax_id(rendering: Rendering, has_vat_ids: bool) -> tuple[str, str] | None:
    """The buyer's VAT identifier (BT-48); the norm has no place for a buyer's other tax ids."""
    identifier = tax_id(rendering.buyer)
    if identifier is None or not has_vat_ids or not is_vat_id(identifier):
        return None
    return identifier, "VAT"


def _add_party(root: _Element, role: str, party: Party, identifier: tuple[str, str] | None) -> None:
    element = _add(_add(root, role), "Party")
    _add_text(_add(element, "PartyIdentification"), "ID", party.id)  # BT-29, BT-46
    address = _add(element, "PostalAddress")  # BG-5, BG-8
    _add_given(address, "StreetName", party.address.line1)
    _add_given(address, "AdditionalStreetName", party.address.line2)
    _add_given(address, "CityName", party.address.city)
    _add_given(address, "PostalZone", party.address.postcode)
    _add_given(address, "CountrySubentity", party.address.region)
    _add_given(_add(address, "Country"), "IdentificationCode", country_code(party))
    if identifier is not None:
        scheme = _add(element, "PartyTaxScheme")
        _add_text(scheme, "CompanyID", identifier[0])
        _add_text(_add(scheme, "TaxScheme"), "ID", identifier[1])
    _add_given(_add(element, "PartyLegalEntity"), "RegistrationName", party.name)  # BT-27, BT-44


def _add_payment(root: _Element, rendering: Rendering, *, is_credit_note: bool) -> None:
    if (
        is_credit_note and rendering.asks_for_payment
    ):  # BT-9, for which a UBL credit note has no element of its own
        means = _add(root, "PaymentMeans")
        _add_text(means, "PaymentMeansCode", _PAYMENT_MEANS_NOT_DEFINED)
        _add_text(means, "PaymentDueDate", rendering.due_date.isoformat())
    _add_text(_add(root, "PaymentTerms"), "Note", rendering.payment_terms)  # BT-20


def _add_tax_total(root: _Element, rendering: Rendering) -> None:
    total = _add(root, "TaxTotal")
    _add_amount(total, "TaxAmount", rendering.total_tax, rendering.currency)  # BT-110
    for tax in rendering.taxes:  # BG-23
        subtotal = _add(total, "TaxSubtotal")
        _add_amount(subtotal, "TaxableAmount", tax.taxable, rendering.currency)
        _add_amount(subtotal, "TaxAmount", tax.tax, rendering.currency)
        category = _add(subtotal, "TaxCategory")
        _add_category_and_rate(category, tax.category, tax.rate)
        _add_exemption(category, tax)
        _add_text(_add(category, "TaxScheme"), "ID", "VAT")


def _add_category_and_rate(element: _Element, category: str, rate: Decimal) -> None:
    _add_text(element, "ID", category)
    if category != NOT_SUBJECT:
        _add_text(element, "Percent", format_number(rate))


def _add_exemption(element: _Element, tax: TaxTotal) -> None:
    exemption = EXEMPTIONS.get(tax.category)
    if exemption is None:
        return
    code = tax.reason_code or exemption.code
    if code is not None:
        _add_text(element, "TaxExemptionReasonCode", code)  # BT-121
    _add_text(element, "TaxExemptionReason", given(tax.reason) or exemption.text)  # BT-120


def _add_totals(root: _Element, rendering: Rendering) -> None:
    totals = _add(root, "LegalMonetaryTotal")  # BG-22
    for name, amount in (
        ("LineExtensionAmount", rendering.total_net),
        ("TaxExclusiveAmount", rendering.total_net),
        ("TaxInclusiveAmount", rendering.total_gross),
        ("PayableAmount", rendering.total_gross),
    ):
        _add_amount(totals, name, amount, rendering.currency)


def _add_lines(root: _Element, rendering: Rendering, *, is_credit_note: bool) -> None:
    """BG-25. Lines are copies of a model of their shape with their own texts: a third of the work of building each."""
    models: dict[tuple[str, Decimal, bool], _Element] = {}
    for place, line in enumerate(rendering.lines, 1):
        description = given(line.description)
        shape = (line.tax_category, line.tax_rate, description is not None)
        if shape not in models:
            models[shape] = _line_model(*shape, rendering.currency, is_credit_note=is_credit_note)
        element = copy.deepcopy(models[shape])
        _fill_line(element, place, line, description, rendering.currency)
        root.append(element)


def _line_model(
    category: str, rate: Decimal, has_description: bool, currency: str, *, is_credit_note: bool
) -> _Element:
    """A line without its texts: all that lines of one shape have in common."""
    element = etree.Element(_CAC + ("CreditNoteLine" if is_credit_note else "InvoiceLine"), nsmap=_PREFIXES)
    _add_text(element, "ID", "")  # BT-126
    quantity_name = "CreditedQuantity" if is_credit_note else "InvoicedQuantity"
    _add_text(element, quantity_name, "").set("unitCode", _PIECE)  # BT-129, BT-130
    _add_text(element, "LineExtensionAmount", "").set("currencyID", currency)  # BT-131
    item = _add(element, "Item")
    if has_description:
        _add_text(item, "Description", "")  # BT-154
    _add_text(item, "Name", "")  # BT-153
    tax = _add(item, "ClassifiedTaxCategory")
    _add_category_and_rate(tax, category, rate)
    _add_text(_add(tax, "TaxScheme"), "ID", "VAT")
    _add_text(_add(element, "Price"), "PriceAmount", "").set("currencyID", currency)  # BT-146
    return element


def _fill_line(
    element: _Element, place: int, line: DocumentLine, description: str | None, currency: str
) -> None:
    """The texts of a line. A price must not be negative (BR-27): the quantity takes its sign, so that their product is
    the same.
    """
    is_negated = line.unit_price < ZERO
    identifier, quantity, amount, item, price = element
    *descriptions, name, _ = item
    identifier.text = str(place)
    quantity.text = format_number(negated(line.quantity) if is_negated else line.quantity)
    amount.text = format_amount(line.amount, currency)
    for written in descriptions:
        written.text = description
    name.text = given(line.product) or description or without_forbidden(line.billing_event_item_id)
    price[0].text = format_number(negated(line.unit_price) if is_negated else line.unit_price)
