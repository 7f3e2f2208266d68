"""Which tax a line bears (documents.md section 2.3)."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting_connector.domain.tax import (
    NOT_SUBJECT,
    ZERO_RATED,
    Buyer,
    Customer,
    OnTaxRuleMissing,
    Seller,
    Tax,
    TaxFinding,
    TaxRule,
    buyer_of,
    overlapping_rules,
    product_key,
    tax_of_product,
    tax_totals,
)
from accounting_connector.store.parties import tax_rules_of

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "in_and_out.json").read_text("utf-8")
)["cases"]
DAY = date(2026, 11, 20)
STANDARD = Tax("S", Decimal(20))


def cases(rule: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in CASES if case["rule"] == rule]


def rules_of(given_rules: list[dict[str, Any]]) -> tuple[TaxRule, ...]:
    defaults = {"services_product": None, "country": None, "reason": None}
    return tax_rules_of({**defaults, **rule} for rule in given_rules)


def seller_of(company: dict[str, Any]) -> Seller:
    missing = company.get("on_tax_rule_missing")
    return Seller(
        company["country"],
        bool(company["tax_id"] or company.get("tax_registration")),
        rules_of(company["tax_rules"]),
        None if missing is None else OnTaxRuleMissing(missing),
    )


@pytest.mark.parametrize("case", cases("2.3 tax rules"))
def test_the_given_cases(case: dict[str, Any]) -> None:
    asked, wanted = case["input"], case["expect"]
    account, seller = asked["account"], seller_of(asked["company"])
    customer = Customer(
        account["country"], buyer_of(account.get("tax_id"), is_private=account.get("private", False))
    )
    day = date.fromisoformat(asked["tax_date"])
    found = tax_of_product(asked["services_product"], day, seller, customer)
    if "code" in wanted:
        assert found == TaxFinding(None, wanted["code"])
        return
    assert found.tax is not None
    assert (found.tax.category, found.tax.rate) == (wanted["category"], Decimal(wanted["rate"]))
    assert found.code == wanted.get("warning")
    if "rule" in wanted:
        assert found.tax == seller.rules[wanted["rule"]].tax


@pytest.mark.parametrize("case", cases("2.3 rules alike"))
def test_rules_alike_whose_times_overlap_are_found(case: dict[str, Any]) -> None:
    assert list(overlapping_rules(rules_of(case["input"]["tax_rules"]))) == [tuple(case["expect"]["rules"])]


def found_by(
    *rules: TaxRule,
    product: str = "Survey",
    country: str | None = "FR",
    buyer: Buyer = Buyer.UNKNOWN,
    day: date | None = DAY,
) -> TaxFinding:
    return tax_of_product(product, day, Seller("DE", True, rules), Customer(country, buyer))


@pytest.mark.parametrize(
    "product, country, places",
    [
        ("Books", "FR", [0, 1, 2, 3, 4, 5]),
        ("Books", "IE", [1, 2, 4, 5]),
        ("Books", "US", [2, 5]),
        ("Books", None, [2, 5]),
        ("Survey", "FR", [3, 4, 5]),
        ("Survey", "DE", [5]),
    ],
)
def test_the_most_specific_rule_wins(product: str, country: str | None, places: list[int]) -> None:
    """The rules that hold stand in the order in which they win; each wins where those before it are missing."""
    scopes = [("Books", "FR"), ("Books", "EU"), ("Books", None), (None, "FR"), (None, "EU"), (None, None)]
    rules = [TaxRule(*scope, Tax("S", Decimal(place + 1))) for place, scope in enumerate(scopes)]
    for gone, place in enumerate(places):
        left = [rule for at, rule in enumerate(rules) if at not in places[:gone]]
        for order in (left, left[::-1]):
            found = found_by(*order, product=product, country=country)
            assert found == TaxFinding(Tax("S", Decimal(place + 1)))


@pytest.mark.parametrize("category", ["AE", "G", "O"])
@pytest.mark.parametrize("scope", ["FR", "EU"])
def test_the_place_of_supply_goes_before_a_rule_of_the_product(category: str, scope: str) -> None:
    abroad = TaxRule(None, scope, Tax(category, Decimal(0)))
    own = TaxRule("Survey", None, STANDARD)
    assert found_by(own, abroad, buyer=Buyer.BUSINESS).tax == abroad.tax
    # But not before one of the product that names the country, too.
    both = TaxRule("Survey", "FR", STANDARD)
    assert found_by(both, abroad, buyer=Buyer.BUSINESS).tax == STANDARD


@pytest.mark.parametrize("category", ["AE", "K"])
@pytest.mark.parametrize("buyer", [Buyer.PRIVATE, Buyer.UNKNOWN])
@pytest.mark.parametrize("said", [None, Buyer.PRIVATE])
def test_no_reverse_charge_meets_who_is_not_known_as_a_business(
    category: str, buyer: Buyer, said: Buyer | None
) -> None:
    rule = TaxRule(None, "EU", Tax(category, Decimal(0)), said)
    assert found_by(rule, TaxRule(None, None, STANDARD), buyer=buyer).tax == STANDARD
    assert found_by(rule, buyer=buyer) == TaxFinding(None, "tax_rule_missing")


@pytest.mark.parametrize("tax_id", ["ATU13585627", "at u1358 5627", "EL094259216", "XI123456789"])
def test_a_tax_id_that_begins_with_a_country_is_a_business(tax_id: str) -> None:
    assert buyer_of(tax_id, is_private=False) is Buyer.BUSINESS
    assert buyer_of(tax_id, is_private=True) is Buyer.PRIVATE


@pytest.mark.parametrize("tax_id", [None, "", "  ", "123/456/789", "QQ1"])
def test_another_tax_id_tells_nothing(tax_id: str | None) -> None:
    assert buyer_of(tax_id, is_private=False) is Buyer.UNKNOWN


@pytest.mark.parametrize("country, customers", [("GR", "EL"), ("EL", "GR"), ("GB", "UK")])
def test_a_country_has_two_names(country: str, customers: str) -> None:
    assert found_by(TaxRule(None, country, STANDARD), country=customers).tax == STANDARD


@pytest.mark.parametrize(
    "written",
    [
        "Pru\u0308fung a",
        "pr\u00dcFUNG A",
        " Pr\u00fcfung\u00a0\u2009a ",
        "Pr\u00fc\u00adfung\u200b a",
        "Pr\u00fcfung\ta",
    ],
)
def test_products_are_compared_as_they_are_read(written: str) -> None:
    assert product_key(written) == product_key("Pr\u00fcfung a")
    assert found_by(TaxRule("Pr\u00fcfung a", None, STANDARD), product=written).tax == STANDARD


@given(st.text(max_size=20))
def test_a_compared_product_is_compared_alike(product: str) -> None:
    key = product_key(product)
    assert product_key(key) == key


def test_a_rule_holds_from_its_first_day_to_its_last() -> None:
    rule = TaxRule(None, None, STANDARD, valid_from=date(2026, 1, 1), valid_to=date(2026, 6, 30))
    for day in (date(2026, 1, 1), date(2026, 6, 30)):
        assert found_by(rule, day=day).tax == STANDARD
    outside = (date(2025, 12, 31), date(2026, 7, 1), None)
    assert [found_by(rule, day=day).tax for day in outside] == [None, None, None]


def test_without_any_rule_a_company_is_zero_rated_with_a_warning() -> None:
    assert found_by() == TaxFinding(ZERO_RATED, "tax_rule_missing")


def test_a_company_without_tax_id_is_not_subject_only_where_no_rule_taxes() -> None:
    customer = Customer("DE", Buyer.UNKNOWN)
    exempt = TaxRule(None, None, Tax("O", Decimal(0), "Small business"))

    def found(*rules: TaxRule) -> TaxFinding:
        return tax_of_product("Survey", DAY, Seller("DE", False, rules), customer)

    assert found() == TaxFinding(NOT_SUBJECT)
    assert found(exempt) == TaxFinding(exempt.tax)
    for category in ("S", "Z", "E", "AE", "G"):
        taxing = TaxRule("Books", None, Tax(category, Decimal(0)))
        assert found(exempt, taxing) == TaxFinding(None, "seller_tax_id_missing")


def test_reasons_of_an_exemption_are_kept_with_its_total() -> None:
    exempt = [
        Tax("E", Decimal(0), "Training", "VATEX-EU-132-1I"),
        Tax("E", Decimal("0.00"), "Health", "VATEX-EU-132-1I"),
        Tax("E", Decimal(0), "Training", "VATEX-EU-132-1I"),
    ]
    (total,) = tax_totals([(tax, Decimal(5)) for tax in exempt], "GBP")
    assert (total.taxable, total.tax, total.reason) == (Decimal(15), Decimal(0), "Training; Health")
    assert total.reason_code == "VATEX-EU-132-1I"
    (total,) = tax_totals([(exempt[0], Decimal(5)), (Tax("E", Decimal(0)), Decimal(5))], "GBP")
    assert total.reason_code is None


def test_the_largest_amounts_lose_no_digit() -> None:
    amount = Decimal("999999999999999999.99")
    (total,) = tax_totals([(Tax("S", Decimal("19.123456")), amount)] * 10, "GBP")
    assert total.taxable == Decimal("9999999999999999999.90")
    assert total.tax == Decimal("1912345599999999999.98")
