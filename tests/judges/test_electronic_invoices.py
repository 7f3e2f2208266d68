"""Every XML that Sluice makes stands before the OASIS schema and before all official rules of EN 16931."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from iso3166 import countries_by_alpha2
from lxml import etree

from accounting_connector.domain.companies import Address
from accounting_connector.domain.documents import DocumentLine
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.tax import Tax
from accounting_connector.rendering.model import NotRenderedError, Rendering
from accounting_connector.rendering.ubl import ubl_of
from judges.documents import CASES, CREDIT_NOTE, INVOICE, buyer, line, rendering, seller
from judges.electronic_invoices import Rules, Schemas
from shared.currencies import CURRENCIES

_CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
_CAC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"


def assert_accepted(xml: bytes, schemas: Schemas, rules: Rules) -> None:
    """Both judges find nothing, not even a warning."""
    assert schemas.errors(xml) == []
    assert rules.judge(xml).failed == set()


@pytest.mark.parametrize("name", CASES)
def test_both_judges_accept(name: str, schemas: Schemas, rules: Rules) -> None:
    assert_accepted(ubl_of(CASES[name]()), schemas, rules)


def _without(path: str) -> Callable[[etree._Element], None]:
    def change(root: etree._Element) -> None:
        found = root.find(path)
        assert found is not None
        parent = found.getparent()
        assert parent is not None
        parent.remove(found)

    return change


def _with(path: str, text: str) -> Callable[[etree._Element], None]:
    def change(root: etree._Element) -> None:
        found = root.find(path)
        assert found is not None
        assert found.text != text
        found.text = text

    return change


_PAYABLE = f"{_CAC}LegalMonetaryTotal/{_CBC}PayableAmount"
_LINE = f"{_CAC}InvoiceLine"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (_without(f"{_CBC}ID"), "BR-02"),
        (_with(_PAYABLE, "121.00"), "BR-CO-16"),
        (_with(f"{_CAC}LegalMonetaryTotal/{_CBC}TaxInclusiveAmount", "125.00"), "BR-CO-15"),
        (_with(f"{_CAC}TaxTotal/{_CAC}TaxSubtotal/{_CBC}TaxAmount", "18.00"), "BR-CO-17"),
        (_with(f"{_LINE}/{_CAC}Price/{_CBC}PriceAmount", "-100.00"), "BR-27"),
        (_with(f"{_LINE}/{_CBC}LineExtensionAmount", "100.001"), "BR-DEC-23"),
        (_with(f"{_CBC}DocumentCurrencyCode", "XYZ"), "BR-CL-04"),
        (_with(f"{_LINE}/{_CAC}Item/{_CAC}ClassifiedTaxCategory/{_CBC}ID", "O"), "BR-O-02"),
    ],
)
def test_the_rules_say_no(change: Callable[[etree._Element], None], rule: str, rules: Rules) -> None:
    root = etree.fromstring(ubl_of(rendering()))
    change(root)
    assert rule in rules.judge(etree.tostring(root)).failed


@pytest.mark.parametrize(
    "change",
    [
        _without(f"{_CBC}ID"),
        _with(f"{_CBC}IssueDate", "20.11.2026"),
        _with(_PAYABLE, "a lot"),
        _without(f"{_CAC}LegalMonetaryTotal"),
    ],
)
def test_the_schema_says_no(change: Callable[[etree._Element], None], schemas: Schemas) -> None:
    root = etree.fromstring(ubl_of(rendering()))
    change(root)
    assert schemas.errors(etree.tostring(root))


def test_what_is_no_invoice_is_not_judged_good(rules: Rules) -> None:
    with pytest.raises(ValueError, match="no rule fired"):
        rules.judge(b"<Invoice><ID>1</ID></Invoice>")


def test_the_rules_are_looked_at(rules: Rules) -> None:
    assert rules.judge(ubl_of(CASES["several rates"]())).fired > 50


def _refusals(made: Rendering) -> list[str]:
    """The codes for which its XML is not made."""
    try:
        ubl_of(made)
    except NotRenderedError as error:
        return [reason.code for reason in error.reasons]
    return []


def test_exactly_the_currencies_of_the_norm_with_two_decimals_are_made(
    rules: Rules, schemas: Schemas
) -> None:
    listed = rules.codes_listed("AED")
    digits = {code: currency.digits for code, currency in CURRENCIES.items()}
    expressible = {code for code, count in digits.items() if count <= 2 and code in listed}
    # What ended since the norm is there was in its list, which today's rules no longer show.
    since = {
        code for code, currency in CURRENCIES.items() if currency.last_day and currency.last_day.year > 2017
    }
    assert {"BGN", "HRK"} <= since
    documents = {code: rendering(line("100", currency=code), currency=code) for code in digits}
    assert len(expressible) > 140
    refusals = {code: _refusals(made) for code, made in documents.items()}
    assert refusals == {
        code: [] if code in expressible | since else ["currency_not_expressible"] for code in digits
    }
    for code in sorted(expressible):
        assert_accepted(ubl_of(documents[code]), schemas, rules)


def test_exactly_the_countries_of_the_norm_are_made(rules: Rules, schemas: Schemas) -> None:
    listed = rules.codes_listed("1A")
    codes = {*countries_by_alpha2, "XI", "XX", "UK", "EU", "EL"}
    documents = {code: rendering(account=buyer(address=Address(country=code))) for code in codes}
    # Kosovo is 1A in the norm's list.
    expressible = {code for code in codes if code in listed or code == "XK"}
    refusals = {code: _refusals(each) for code, each in documents.items()}
    assert refusals == {code: [] if code in expressible else ["buyer_country_unknown"] for code in codes}
    for code in [*sorted(expressible)[::10], "XI", "XK"]:
        assert_accepted(ubl_of(documents[code]), schemas, rules)


_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
_rates = st.decimals("0.5", "30", places=2)
_reasons = st.one_of(st.none(), _texts)
_together = st.one_of(
    st.lists(
        st.one_of(
            st.builds(Tax, st.sampled_from("SLM"), _rates),
            st.builds(Tax, st.sampled_from(["Z", "E", "AE", "G"]), st.just(Decimal(0)), _reasons),
        ),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.builds(Tax, st.just("O"), st.just(Decimal(0)), _reasons), min_size=1, max_size=3),
)
"""Taxes that can stand on one document."""

_anything = st.lists(
    st.builds(
        Tax,
        st.sampled_from(["S", "Z", "E", "AE", "O", "K", "B", "?"]),
        st.sampled_from([Decimal(0), Decimal(20)]),
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def _lines(draw: st.DrawFn, taxes: st.SearchStrategy[list[Tax]]) -> list[tuple[DocumentLine, Tax]]:
    return [
        line(
            str(draw(st.decimals("-100000", "100000", places=6))),
            str(draw(st.decimals("-1000", "1000", places=3))),
            tax,
            description=draw(_texts),
            product=draw(_texts),
        )
        for tax in draw(taxes)
    ]


def _addresses(countries: st.SearchStrategy[str | None]) -> st.SearchStrategy[Address]:
    return st.builds(Address, _texts, _texts, _texts, _texts, _texts, countries)


_kinds = st.sampled_from([INVOICE, CREDIT_NOTE])


@settings(max_examples=150, deadline=None)
@given(
    lines=_lines(_together),
    kind=_kinds,
    name=_texts,
    text=_texts,
    address=_addresses(st.sampled_from(["GB", "XK"])),
)
def test_what_is_complete_is_made_and_accepted(
    lines: list[tuple[DocumentLine, Tax]],
    kind: DocumentKind,
    name: str,
    text: str,
    address: Address,
    schemas: Schemas,
    rules: Rules,
) -> None:
    made = rendering(
        *lines,
        kind=kind,
        account=buyer(name=f"{name}.", address=address, tax_id=f"DE{text}"),
        company=seller(name=f".{name}", address=address),
        customer_reference=text,
        engagement=text,
    )
    assert_accepted(ubl_of(made), schemas, rules)


@settings(max_examples=150, deadline=None)
@given(
    lines=_lines(_anything),
    kind=_kinds,
    name=_texts,
    tax_id=st.sampled_from([None, "", "GB1", "de1", "123", "\u00a0"]),
    address=_addresses(st.sampled_from([None, "GB", "ZZ"])),
)
def test_what_lacks_something_is_refused_or_accepted_but_never_wrong(
    lines: list[tuple[DocumentLine, Tax]],
    kind: DocumentKind,
    name: str,
    tax_id: str | None,
    address: Address,
    schemas: Schemas,
    rules: Rules,
) -> None:
    made = rendering(
        *lines,
        kind=kind,
        account=buyer(name=name, tax_id=tax_id, address=address),
        company=seller(tax_id=tax_id),
    )
    refusals = _refusals(made)
    event("refused" if refusals else "made")
    if not refusals:
        assert_accepted(ubl_of(made), schemas, rules)
