"""A document as PDF: what can be read on its pages, and what travels with them."""

import dataclasses
import io
from decimal import Decimal

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounting_connector.domain.documents import DocumentStatus
from accounting_connector.domain.tax import Tax
from accounting_connector.rendering.model import Rendering
from accounting_connector.rendering.pdf import pdf_of
from accounting_connector.rendering.ubl import ubl_of
from judges.documents import CASES, CREDIT_NOTE, EXEMPT, buyer, line, rendering

_BLANKS = {ord(blank): " " for blank in "\u2002\u2003\u2007\u2008\u00a0\u200b"}


def opened(made: Rendering) -> pypdf.PdfReader:
    """Its PDF, to be read."""
    return pypdf.PdfReader(io.BytesIO(pdf_of(made)))


def pages(made: Rendering) -> list[str]:
    """The words of each page, one blank between them."""
    return [" ".join(page.extract_text().translate(_BLANKS).split()) for page in opened(made).pages]


def test_an_invoice_shows_everything_that_a_reader_needs() -> None:
    (page,) = pages(rendering(line("1100.25", "7.5"), line("-0.333333", "3", tax=EXEMPT)))
    for words in (
        "Survey Ltd",
        "2 Mill Lane Unit 4 LS1 1AA Leeds United Kingdom",
        "Tax ID GB987654321",
        "Invoice",
        "Bill to Port Authority 1 Quay HU1 1AA Hull Yorkshire",
        "Tax ID GB123456789",
        "SIN-2026-000123",
        "20 November 2026",
        "20 December 2026",
        "PO 4711",
        "ENG-7",
        "BE-1",
        "Amount GBP",
        "1 Consulting 7.5 1,100.25 20 % 8,251.88",
        "3 \N{MINUS SIGN}0.333333 0 % \N{MINUS SIGN}1.00",
        "8,250.88",
        "Tax Taxable Amount",
        "Standard rate 20 % 8,251.88 1,650.38",
        "Exempt from tax 0 % \N{MINUS SIGN}1.00 0.00 Article 132(1)(i) of the VAT directive",
        "Total to pay GBP 9,901.26",
        "Terms Payable within 30 days, by 20 December 2026. Please quote SIN-2026-000123 when paying.",
        "Page 1 of 1",
    ):
        assert words in page
    assert "DRAFT" not in page


def test_a_correction_names_the_document_that_it_corrects() -> None:
    (page,) = pages(rendering(kind=CREDIT_NOTE, corrects_document_id="D-0"))
    assert "Credit note" in page
    assert "Corrects SIN-2026-000007 of 1 October 2026" in page
    assert "Total credited GBP 120.00" in page


@pytest.mark.parametrize("count", [1, 60])
def test_a_draft_says_so_on_every_page(count: int) -> None:
    made = rendering(*(line() for _ in range(count)), status=DocumentStatus.DRAFT, number="DRAFT-D-1")
    shown = pages(made)
    assert len(shown) == (1 if count == 1 else 3)
    for page in shown:
        assert "DRAFT \N{EN DASH} NOT A TAX DOCUMENT" in page
        assert page.count("DRAFT ") >= 2, "and large behind the text"


def test_a_validated_document_never_says_draft() -> None:
    assert all("DRAFT" not in page for page in pages(rendering(*(line() for _ in range(60)))))


def test_sums_are_carried_from_page_to_page() -> None:
    first, *between, last = pages(rendering(*(line("10.01") for _ in range(80))))
    count = first.count("Survey day")
    carried = f"{Decimal('10.01') * count:,}"
    assert f"Carried forward {carried}" in first
    assert "Brought forward" not in first
    for page in between:
        assert f"Brought forward {carried}" in page
        count += page.count("Survey day")
        carried = f"{Decimal('10.01') * count:,}"
        assert f"Carried forward {carried}" in page
    assert between
    assert f"Brought forward {carried}" in last
    assert "Carried forward" not in last
    assert count + last.count("Survey day") == 80
    assert "800.80" in last
    assert f"Page {len(between) + 2} of {len(between) + 2}" in last


@pytest.mark.parametrize("count", range(17, 23))
def test_totals_never_stand_alone_on_a_page(count: int) -> None:
    shown = pages(rendering(*(line() for _ in range(count))))
    assert "Survey day" in shown[-1]
    assert "Total to pay" in shown[-1]


@pytest.mark.parametrize("name", ["total below zero", "credit note of a total below zero", "total of zero"])
def test_who_owes_nothing_is_never_asked_to_pay(name: str) -> None:
    """Neither on the page nor in the XML (documents.md section 2.4)."""
    made = CASES[name]()
    page = " ".join(pages(made))
    xml = ubl_of(made).decode()
    assert "Nothing is to be paid." in page
    assert "Nothing is to be paid." in xml
    for words in ("to pay", "Payable", "Due date", "quote", "paid back", "credited"):
        assert words not in page
    assert "DueDate" not in xml


def test_amounts_too_wide_for_a_row_are_whole() -> None:
    (page,) = pages(rendering(line("499999999999999.99")))
    assert "Standard rate 20 % 499,999,999,999,999.99 100,000,000,000,000.00" in page
    assert "Total to pay GBP 599,999,999,999,999.99" in page


def test_long_names_and_references_are_whole() -> None:
    name, reference = "Harbour " * 30, "framework agreement " * 8
    (page,) = pages(rendering(account=buyer(name=name), customer_reference=reference))
    assert name.strip() in page
    assert f"Your reference {reference.strip()}" in page


def test_a_text_longer_than_a_page_goes_on() -> None:
    shown = pages(rendering(line(description="word " * 2_000), line(description="after")))
    assert len(shown) > 1
    assert sum(page.count("word") for page in shown) == 2_000
    assert "after" in shown[-1]
    assert f"Page 1 of {len(shown)}" in shown[0]


def test_markup_is_only_text() -> None:
    hostile = '#panic("x") *bold* $x$ @ref <label> \\ `raw` //no #sys.inputs #read("/etc/passwd") ]}'
    (page,) = pages(rendering(line(product=hostile[:30], description=hostile), customer_reference=hostile))
    assert page.replace(" ", "").count(hostile.replace(" ", "")) == 2


def test_a_validated_document_carries_its_xml() -> None:
    for case, name in (("one line", "invoice.xml"), ("credit note", "credit-note.xml")):
        made = CASES[case]()
        assert opened(made).attachments == {name: [ubl_of(made)]}


def test_nothing_travels_with_a_draft_or_where_there_is_no_xml() -> None:
    for made in (CASES["draft"](), rendering(line("1.234", currency="KWD"), currency="KWD")):
        assert not opened(made).attachments


def test_amounts_have_their_currencys_decimals() -> None:
    (page,) = pages(rendering(line("1234.5", currency="KWD", amount=Decimal("1234.500")), currency="KWD"))
    assert "1,234.500 20 % 1,234.500" in page
    (page,) = pages(rendering(line("1234.5", "2", currency="JPY"), currency="JPY"))
    assert "2 1,234.5 20 % 2,469" in page


def test_tax_categories_are_told_apart_line_by_line() -> None:
    (page,) = pages(rendering(line(), line(tax=EXEMPT), line(tax=Tax("Z", Decimal(0)))))
    assert "Survey day · Exempt from tax" in page
    assert "Survey day · Zero rated" in page


def test_the_same_document_gives_the_same_bytes() -> None:
    assert pdf_of(CASES["several rates"]()) == pdf_of(CASES["several rates"]())


def test_its_title_is_its_number() -> None:
    information = opened(rendering()).metadata
    assert information is not None
    assert information.title == "Invoice SIN-2026-000123"


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80))
def test_any_text_can_be_shown(text: str) -> None:
    made = rendering(
        line(product=text, description=text), account=buyer(name=text, tax_id=text), customer_reference=text
    )
    assert pdf_of(dataclasses.replace(made, number="SIN-2026-000001")).startswith(b"%PDF-1.7")
