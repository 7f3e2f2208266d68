"""Texts and numbers as the pages show them."""

from decimal import Decimal
from typing import Any

import pytest

from accounting_connector.domain.companies import Address
from accounting_connector.domain.documents import DocumentStatus
from accounting_connector.rendering.fonts import displayable
from accounting_connector.rendering.page_texts import page_data, set_text
from judges.documents import CREDIT_NOTE, buyer, line, rendering


@pytest.mark.parametrize(
    "text",
    [
        "Survey",
        "Žluťoučký kůň",
        "Σύμβουλος",
        "мост",
        "גשר",
        "جسر",
        "ทดสอบ",
        "परामर्श",
        "咨询 コン 컨설팅",
        "a\tb\nc",
        "e\u0301",
    ],
)
def test_what_the_fonts_have_is_shown_as_it_is(text: str) -> None:
    assert displayable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x1bc", "a\ufffdb\ufffdc"),
        ("\U0001f600!", "\ufffd!"),
        ("\u1200", "\ufffd"),
        ("\ue000", "\ufffd"),
        ("ש\u0940", "ש\ufffd"),
    ],
)
def test_what_they_have_not_is_replaced(text: str, shown: str) -> None:
    assert displayable(text) == shown


def test_direction_is_that_of_the_first_letter() -> None:
    assert set_text("12 ABC גשר") == "12 ABC גשר"
    assert set_text("12 גשר ABC") == {"rtl": "12 גשר ABC"}
    assert set_text("… 12") == "… 12"


def test_long_words_can_be_divided() -> None:
    shown = set_text("x" * 50 + " y")
    assert isinstance(shown, str)
    assert shown.split("\u200b") == ["x" * 20, "x" * 20, "x" * 10 + " y"]
    assert set_text("twenty letters reach") == "twenty letters reach"


def test_numbers_of_a_column_are_equally_wide() -> None:
    data = page_data(rendering(line("1.00"), line("-1234567.50", "10.25"), line("0.123456", "100")))
    lines = data["lines"]
    assert isinstance(lines, list)
    rows = [each["numbers"] for each in lines]
    for column in zip(*rows, strict=True):
        widths = {
            (
                sum(c.isdigit() or c in "\u2007\N{MINUS SIGN}" for c in number),
                sum(c in ",.\u2008" for c in number),
            )
            for number in column
        }
        assert len(widths) == 1
    assert [each["carried"] for each in lines] == [
        "1.00",
        "\N{MINUS SIGN}12,654,315.88",
        "\N{MINUS SIGN}12,654,303.53",
    ]
    assert [row[1].strip("\u2007\u2008") for row in rows] == [
        "1.00",
        "\N{MINUS SIGN}1,234,567.50",
        "0.123456",
    ]


def test_a_long_product_stands_below_its_numbers_and_a_long_text_from_right_to_left_apart() -> None:
    data = page_data(
        rendering(
            line(),
            line(product="p " * 30),
            line(product="ייעוץ", description="גשר"),
            line(product="咨" * 21, description="גשר " * 20),
            line(product="גשר " * 20),
        )
    )
    lines = data["lines"]
    assert isinstance(lines, list)
    assert [each["product"] for each in lines] == ["Consulting", "", {"rtl": "ייעוץ"}, "", ""]
    assert [each["below"] for each in lines] == [
        ["Survey day"],
        ["p " * 30, "Survey day"],
        [{"rtl": "גשר"}],
        ["咨" * 20 + "\u200b咨"],
        [],
    ]
    long = {"rtl": "גשר " * 20}
    assert [each.get("paragraphs", []) for each in lines] == [[], [], [], [long], [long, "Survey day"]]


@pytest.mark.parametrize(
    ("changes", "rows_below"),
    [
        ({}, 0),
        ({"account": buyer(tax_id=None)}, 1),
        ({"engagement": None, "customer_reference": None}, 0),
        ({"account": buyer(address=Address(country="GB"), tax_id=None)}, 4),
        ({"account": buyer(name="n" * 43)}, None),
        ({"account": buyer(address=Address(line1="港" * 22, country="GB"))}, None),
        ({"customer_reference": "r" * 31}, None),
    ],
)
def test_rows_are_counted_where_every_text_fits_on_one(
    changes: dict[str, Any], rows_below: int | None
) -> None:
    assert page_data(rendering(**changes))["rows_below"] == rows_below


def test_an_invoice_asks_to_be_quoted_and_nothing_else_does() -> None:
    asks = "Please quote SIN-2026-000123 when paying."
    assert page_data(rendering())["terms"] == ["Payable within 30 days, by 20 December 2026.", asks]
    for changes in ({"kind": CREDIT_NOTE}, {"status": DocumentStatus.DRAFT}):
        terms = page_data(rendering(**changes))["terms"]
        assert isinstance(terms, list)
        assert asks not in terms


def test_many_billing_events_are_counted() -> None:
    facts = page_data(rendering(billing_event_ids=tuple(f"BE-{place}" for place in range(6))))["facts"]
    assert isinstance(facts, list)
    assert ("Billing events", "6") in facts


def test_a_description_that_says_nothing_new_is_left_out() -> None:
    lines = page_data(rendering(line(description="Consulting", amount=Decimal(100))))["lines"]
    assert isinstance(lines, list)
    assert lines[0]["below"] == []
