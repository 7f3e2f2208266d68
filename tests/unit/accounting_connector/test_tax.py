"""Which tax a line bears (domain.md section 4, "Tax")."""

from decimal import Decimal

import pytest

from accounting_connector.domain.tax import NOT_SUBJECT, ZERO_RATED, Tax, TaxRule, tax_of_product, tax_totals

BOTH = Tax("S", Decimal(4))
PRODUCT = Tax("S", Decimal(3))
COUNTRY = Tax("S", Decimal(2))
NEITHER = Tax("S", Decimal(1))
RULES = [
    TaxRule(None, None, NEITHER),
    TaxRule(None, "GB", COUNTRY),
    TaxRule(None, "IE", COUNTRY),
    TaxRule("Books", None, PRODUCT),
    TaxRule("Books", "GB", BOTH),
    TaxRule("Books", "GB", Tax("E", Decimal(0))),
]


@pytest.mark.parametrize(
    "product, country, tax",
    [
        ("Books", "GB", BOTH),
        ("Books", "FR", PRODUCT),
        ("Books", "IE", PRODUCT),
        ("Books", None, PRODUCT),
        ("Survey", "GB", COUNTRY),
        ("Survey", "FR", NEITHER),
        ("Survey", None, NEITHER),
    ],
)
def test_the_most_specific_rule_wins(product: str, country: str | None, tax: Tax) -> None:
    assert tax_of_product(product, country, company_tax_id="GB9", rules=RULES) == tax
    assert tax_of_product(product, country, company_tax_id=None, rules=RULES) == NOT_SUBJECT
    assert tax_of_product(product, country, company_tax_id="", rules=RULES) == NOT_SUBJECT


def test_without_a_rule_a_line_is_zero_rated() -> None:
    assert tax_of_product("Survey", "FR", company_tax_id="GB9", rules=RULES[1:]) == ZERO_RATED


def test_reasons_of_an_exemption_are_kept_with_its_total() -> None:
    exempt = [
        Tax("E", Decimal(0), "Training"),
        Tax("E", Decimal("0.00"), "Health"),
        Tax("E", Decimal(0), "Training"),
    ]
    (total,) = tax_totals([(tax, Decimal(5)) for tax in exempt], "GBP")
    assert (total.taxable, total.tax, total.reason) == (Decimal(15), Decimal(0), "Training; Health")


def test_the_largest_amounts_lose_no_digit() -> None:
    amount = Decimal("999999999999999999.99")
    (total,) = tax_totals([(Tax("S", Decimal("19.123456")), amount)] * 10, "GBP")
    assert total.taxable == Decimal("9999999999999999999.90")
    assert total.tax == Decimal("1912345599999999999.98")
