"""What a document says, its XML and its pages say, for any document that can be made (domain.md section 4)."""

import io
from datetime import date
from decimal import Decimal
from typing import Any

import pypdf
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from accounting_connector.domain.assessment import assess
from accounting_connector.domain.documents import Document, draft_document, validate_document
from accounting_connector.domain.eligibility import Terms
from accounting_connector.domain.tax import Tax, TaxRule
from accounting_connector.rendering.model import rendering_of
from accounting_connector.rendering.pdf import pdf_of
from accounting_connector.rendering.ubl import ubl_of
from shared.money import exact_sum, format_amount

CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
RULES = (
    TaxRule("Consulting", None, Tax("S", Decimal(20))),
    TaxRule("Books", None, Tax("S", Decimal("5.5"))),
    TaxRule(None, None, Tax("Z", Decimal(0))),
)
DAY = date(2026, 11, 20)


ANY_ITEMS = {
    "currency": st.sampled_from(["JPY", "GBP"]),
    "minor_units": st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=10).filter(sum),
    "products": st.lists(st.sampled_from(["Consulting", "Books", "Other"]), min_size=10, max_size=10),
}


def document_of(make: Any, currency: str, minor_units: list[int], products: list[str]) -> Document:
    """The validated document of an event with these items."""
    unit = Decimal(1) if currency == "JPY" else Decimal("0.01")
    items = [
        make.item(f"i{place}", str(number * unit), services_product=products[place])
        for place, number in enumerate(minor_units)
    ]
    event = make.event(*items, currency=currency, billing_event_currency=currency)
    terms = Terms()
    assessment = assess(make.candidate(event, company=make.company(tax_rules=RULES)), terms)
    draft = draft_document("D-1", [assessment], terms, invoice_date=None)
    document = validate_document(draft, "SIN-2026-000001", DAY)
    assert exact_sum(line.amount for line in document.lines) == abs(sum(minor_units) * unit)
    return document


@given(**ANY_ITEMS)
def test_the_xml_says_what_the_document_says(
    make: Any, currency: str, minor_units: list[int], products: list[str]
) -> None:
    document = document_of(make, currency, minor_units, products)
    root = etree.fromstring(ubl_of(rendering_of(document, today=DAY)))

    def said(path: str) -> list[str | None]:
        return [element.text for element in root.iterfind(path)]

    assert root.findtext(f"{CBC}ID") == document.number
    assert said(f"./*/{CBC}LineExtensionAmount")[1:] == [
        format_amount(line.amount, currency) for line in document.lines
    ]
    totals = (document.total_net, document.total_gross, document.total_gross)
    assert [
        root.findtext(f".//{CBC}{name}")
        for name in ("TaxExclusiveAmount", "TaxInclusiveAmount", "PayableAmount")
    ] == [format_amount(total, currency) for total in totals]
    assert said(f"./*/*/{CBC}TaxableAmount") == [
        format_amount(total.taxable, currency) for total in document.taxes
    ]


@settings(max_examples=25)
@given(**ANY_ITEMS)
def test_the_pages_say_what_the_document_says(
    make: Any, currency: str, minor_units: list[int], products: list[str]
) -> None:
    document = document_of(make, currency, minor_units, products)
    pages = pypdf.PdfReader(io.BytesIO(pdf_of(rendering_of(document, today=DAY)))).pages
    shown = " ".join(" ".join(page.extract_text() for page in pages).split())

    def read(amount: Decimal) -> str:
        return f"{Decimal(format_amount(amount, currency)):,}".replace("-", "\N{MINUS SIGN}")

    assert f"Number {document.number}" in shown
    at = 0
    for words in (
        *(f"{line.tax_rate.normalize():f} % {read(line.amount)}" for line in document.lines),
        f"Net {read(document.total_net)}",
        *(f"{read(total.taxable)} {read(total.tax)}" for total in document.taxes),
        f"{currency} {read(document.total_gross)}",
    ):
        found = shown.find(words, at)
        assert found >= 0, f"{words} after {shown[at:]}"
        at = found + len(words)
