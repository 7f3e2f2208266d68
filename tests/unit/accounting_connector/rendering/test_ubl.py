"""A document as UBL: what stands where. Whether it is valid, the judges say (tests/judges)."""

from decimal import Decimal

import pytest
from lxml import etree

from accounting_connector.domain.companies import Address
from accounting_connector.domain.documents import DocumentStatus
from accounting_connector.domain.tax import Tax
from accounting_connector.rendering.model import NotRenderedError, Rendering
from accounting_connector.rendering.ubl import ubl_of
from judges.documents import (
    CASES,
    CREDIT_NOTE,
    EXEMPT,
    EXPORT,
    NOT_SUBJECT,
    REVERSE_CHARGE,
    STANDARD,
    ZERO_RATED,
    buyer,
    line,
    rendering,
    seller,
)

_NAMESPACES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}


def texts(made: Rendering, path: str) -> list[str]:
    """The texts of all elements on this path below the root."""
    root = etree.fromstring(ubl_of(made))
    return [str(element.text) for element in root.findall(path, _NAMESPACES)]


def refusals(made: Rendering) -> list[str]:
    """The codes for which no XML is made."""
    with pytest.raises(NotRenderedError) as refused:
        ubl_of(made)
    return [reason.code for reason in refused.value.reasons]


def test_an_invoice_says_who_when_and_how_much() -> None:
    made = rendering(line("100.25", "7.5"), line("50.00", tax=ZERO_RATED))
    assert texts(made, "cbc:CustomizationID") == ["urn:cen.eu:en16931:2017"]
    assert texts(made, "cbc:ID") == ["SIN-2026-000123"]
    assert texts(made, "cbc:IssueDate") == ["2026-11-20"]
    assert texts(made, "cbc:DueDate") == ["2026-12-20"]
    assert texts(made, "cbc:InvoiceTypeCode") == ["380"]
    assert texts(made, "cbc:Note") == []
    assert texts(made, "cbc:BuyerReference") == ["PO 4711"]
    assert texts(made, "cac:ProjectReference/cbc:ID") == ["ENG-7"]
    assert texts(made, "cac:PaymentTerms/cbc:Note") == ["Payable within 30 days, by 20 December 2026."]
    party = "cac:AccountingCustomerParty/cac:Party"
    assert texts(made, f"{party}/cac:PartyIdentification/cbc:ID") == ["A-1"]
    assert texts(made, f"{party}/cac:PostalAddress/*") == ["1 Quay", "Hull", "HU1 1AA", "Yorkshire", "None"]
    assert texts(made, f"{party}/cac:PartyTaxScheme/cbc:CompanyID") == ["GB123456789"]
    assert texts(made, f"{party}/cac:PartyLegalEntity/cbc:RegistrationName") == ["Port Authority"]
    assert texts(made, "cac:TaxTotal/cbc:TaxAmount") == ["150.38"]
    assert texts(made, "cac:TaxTotal/cac:TaxSubtotal/cbc:TaxableAmount") == ["751.88", "50.00"]
    assert texts(made, "cac:LegalMonetaryTotal/*") == ["801.88", "801.88", "952.26", "952.26"]
    assert texts(made, "cac:InvoiceLine/cbc:InvoicedQuantity") == ["7.5", "1"]
    assert texts(made, "cac:InvoiceLine/cac:Item/cbc:Name") == ["Consulting", "Consulting"]
    assert texts(made, "cac:InvoiceLine/cac:Item/cbc:Description") == ["Survey day", "Survey day"]


def test_a_credit_note_has_its_own_elements() -> None:
    made = rendering(kind=CREDIT_NOTE, corrects_document_id="D-0")
    assert etree.QName(etree.fromstring(ubl_of(made))).localname == "CreditNote"
    assert texts(made, "cbc:CreditNoteTypeCode") == ["381"]
    assert texts(made, "cac:PaymentMeans/cbc:PaymentDueDate") == ["2026-12-20"]
    assert texts(made, "cac:BillingReference/cac:InvoiceDocumentReference/cbc:ID") == ["SIN-2026-000007"]
    assert texts(made, "cac:BillingReference/cac:InvoiceDocumentReference/cbc:IssueDate") == ["2026-10-01"]
    assert texts(made, "cac:AdditionalDocumentReference/cbc:ID") == ["ENG-7"]
    assert texts(made, "cac:CreditNoteLine/cbc:CreditedQuantity") == ["1"]
    assert texts(made, "cac:CreditNoteLine/cbc:LineExtensionAmount") == ["100.00"]


def test_a_negative_price_is_written_as_a_positive_one_with_the_quantity_negated() -> None:
    made = rendering(line("300.00"), line("-33.333333", "3"), line("-10.00", "-2"), line("0.00", "-1"))
    assert texts(made, "cac:InvoiceLine/cac:Price/cbc:PriceAmount") == [
        "300.00",
        "33.333333",
        "10.00",
        "0.00",
    ]
    assert texts(made, "cac:InvoiceLine/cbc:InvoicedQuantity") == ["1", "-3", "2", "-1"]
    assert texts(made, "cac:InvoiceLine/cbc:LineExtensionAmount") == ["300.00", "-100.00", "20.00", "0.00"]


@pytest.mark.parametrize(
    ("tax", "code", "reason"),
    [
        (STANDARD, [], []),
        (ZERO_RATED, [], []),
        (Tax("Z", Decimal(0), "a reason that the norm forbids here"), [], []),
        (EXEMPT, [], ["Article 132(1)(i) of the VAT directive"]),
        (Tax("E", Decimal(0)), [], ["Exempt from VAT"]),
        (Tax("E", Decimal(0), " "), [], ["Exempt from VAT"]),
        (REVERSE_CHARGE, ["VATEX-EU-AE"], ["Reverse charge"]),
        (EXPORT, ["VATEX-EU-G"], ["Export outside the EU"]),
        (NOT_SUBJECT, ["VATEX-EU-O"], ["Not subject to VAT"]),
    ],
)
def test_what_bears_no_tax_says_why(tax: Tax, code: list[str], reason: list[str]) -> None:
    made = rendering(line(tax=tax))
    category = "cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory"
    assert texts(made, f"{category}/cbc:ID") == [tax.category]
    assert texts(made, f"{category}/cbc:TaxExemptionReasonCode") == code
    assert texts(made, f"{category}/cbc:TaxExemptionReason") == reason


def test_what_is_not_subject_to_tax_names_no_vat_id_of_either_side_and_no_rate() -> None:
    xml = ubl_of(rendering(line(tax=NOT_SUBJECT)))
    assert b"PartyTaxScheme" not in xml
    assert b"Percent" not in xml


def test_a_seller_without_vat_id_is_known_by_its_tax_registration() -> None:
    made = rendering(company=seller(tax_id="98 765"), account=buyer(tax_id="12 345"))
    party = "{}/cac:Party/cac:PartyTaxScheme"
    assert texts(made, party.format("cac:AccountingSupplierParty") + "/cbc:CompanyID") == ["98765"]
    assert texts(made, party.format("cac:AccountingSupplierParty") + "/cac:TaxScheme/cbc:ID") == ["TAX"]
    assert texts(made, party.format("cac:AccountingCustomerParty")) == []


def test_a_draft_says_so() -> None:
    made = rendering(status=DocumentStatus.DRAFT, number="DRAFT-D-1")
    assert texts(made, "cbc:Note") == ["DRAFT: this is not a tax document."]
    assert texts(made, "cbc:ID") == ["DRAFT-D-1"]


def test_text_is_text_and_forbidden_characters_are_replaced() -> None:
    made = rendering(
        line(description="<!ENTITY x SYSTEM 'file:///etc/passwd'>&x;\x00\x08\ufffe\tend", product="&lt;")
    )
    item = "cac:InvoiceLine/cac:Item"
    assert texts(made, f"{item}/cbc:Description") == [
        "<!ENTITY x SYSTEM 'file:///etc/passwd'>&x;\ufffd\ufffd\ufffd\tend"
    ]
    assert texts(made, f"{item}/cbc:Name") == ["&lt;"]
    assert b"<!" not in ubl_of(made)


def test_a_line_without_product_is_named_by_its_description_or_its_item() -> None:
    made = rendering(line(product=""), line(product=" ", description="\u00a0"))
    assert texts(made, "cac:InvoiceLine/cac:Item/cbc:Name") == ["Survey day", "BEI-1"]


def test_the_same_document_gives_the_same_bytes() -> None:
    assert ubl_of(CASES["texts of the world"]()) == ubl_of(CASES["texts of the world"]())


@pytest.mark.parametrize("currency", ["KWD", "BHD", "TND", "CLF", "STN"])
def test_a_currency_that_the_xml_cannot_hold_is_refused(currency: str) -> None:
    assert refusals(rendering(line(currency=currency), currency=currency)) == ["currency_not_expressible"]


@pytest.mark.parametrize(
    ("made", "codes"),
    [
        (rendering(company=seller(name=" ")), ["seller_name_missing"]),
        (rendering(account=buyer(name="")), ["buyer_name_missing"]),
        (rendering(company=seller(address=Address(line1="2 Mill Lane"))), ["seller_country_missing"]),
        (rendering(account=buyer(address=Address(country=""))), ["buyer_country_missing"]),
        (rendering(company=seller(address=Address(country="UK"))), ["seller_country_unknown"]),
        (rendering(account=buyer(address=Address(country="XX"))), ["buyer_country_unknown"]),
        (rendering(company=seller(tax_id=None)), ["seller_tax_id_missing"]),
        (rendering(line(tax=EXPORT), company=seller(tax_id="123")), ["seller_vat_id_missing"]),
        (rendering(line(tax=REVERSE_CHARGE), account=buyer(tax_id=None)), ["buyer_vat_id_missing"]),
        (rendering(line(tax=REVERSE_CHARGE), account=buyer(tax_id="123")), ["buyer_vat_id_missing"]),
        (rendering(line(tax=Tax("K", Decimal(0)))), ["tax_category_not_expressible"]),
        (rendering(line(tax=Tax("vat", Decimal(20)))), ["tax_category_not_expressible"]),
        (rendering(line(tax=NOT_SUBJECT), line()), ["tax_mix_not_expressible"]),
        (rendering(line(tax=Tax("S", Decimal(0)))), ["tax_rate_not_expressible"]),
        (rendering(line(tax=Tax("Z", Decimal(5)))), ["tax_rate_not_expressible"]),
        (rendering(line("1000.00", tax=Tax("S", Decimal("0.4")))), ["tax_rate_not_expressible"]),
        (rendering(line("999999999999999.99"), line("0.01")), ["amount_not_expressible"]),
        (
            rendering(account=buyer(name="", address=Address()), company=seller(tax_id=None)),
            ["buyer_name_missing", "buyer_country_missing", "seller_tax_id_missing"],
        ),
    ],
)
def test_what_the_norm_needs_and_is_not_there_is_named(made: Rendering, codes: list[str]) -> None:
    assert refusals(made) == codes
