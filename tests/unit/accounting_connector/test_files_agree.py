"""What a document says, its XML says, for any document that can be made (domain.md section 4)."""

from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from accounting_connector.domain.documents import assess, draft_document, validate_document
from accounting_connector.domain.eligibility import Terms
from accounting_connector.domain.tax import Tax, TaxRule
from accounting_connector.rendering.model import rendering_of
from accounting_connector.rendering.ubl import ubl_of
from shared.money import exact_sum, format_amount

CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
RULES = (
    TaxRule("Consulting", None, Tax("S", Decimal(20))),
    TaxRule("Books", None, Tax("S", Decimal("5.5"))),
)
DAY = date(2026, 11, 20)


@given(
    currency=st.sampled_from(["JPY", "GBP"]),
    minor_units=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=10).filter(sum),
    products=st.lists(st.sampled_from(["Consulting", "Books", "Other"]), min_size=10, max_size=10),
)
def test_the_xml_says_what_the_document_says(
    make: Any, currency: str, minor_units: list[int], products: list[str]
) -> None:
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
    root = etree.fromstring(ubl_of(rendering_of(document, today=DAY)))

    def said(path: str) -> list[str | None]:
        return [element.text for element in root.iterfind(path)]

    assert root.findtext(f"{CBC}ID") == document.number
    written = said(f"./*/{CBC}LineExtensionAmount")[1:]
    assert written == [format_amount(line.amount, currency) for line in document.lines]
    assert exact_sum(Decimal(text or "") for text in written) == abs(exact_sum(item.amount for item in items))
    totals = (document.total_net, document.total_gross, document.total_gross)
    assert [
        root.findtext(f".//{CBC}{name}")
        for name in ("TaxExclusiveAmount", "TaxInclusiveAmount", "PayableAmount")
    ] == [format_amount(total, currency) for total in totals]
    assert said(f"./*/*/{CBC}TaxableAmount") == [
        format_amount(total.taxable, currency) for total in document.taxes
    ]
