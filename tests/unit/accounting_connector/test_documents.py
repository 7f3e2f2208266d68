"""Documents from billing events: sums, signs, fields, tax once per rate (domain.md section 4)."""

import dataclasses
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting_connector.domain.assessment import assess
from accounting_connector.domain.documents import (
    Document,
    DocumentStatus,
    as_original,
    cancel_document,
    draft_document,
    validate_document,
)
from accounting_connector.domain.eligibility import Terms, ZeroAmountPolicy
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.tax import Tax, TaxRule
from shared.money import exact_sum, minor_unit_digits, round_to_minor_unit

TERMS = Terms()
RULES = (
    TaxRule("Consulting", None, Tax("S", Decimal(20))),
    TaxRule("Books", None, Tax("S", Decimal(5))),
    TaxRule("Survey", None, Tax("S", Decimal("20.0"))),
    TaxRule(None, None, Tax("Z", Decimal(0))),
)


def draft(make: Any, event: Any, terms: Terms = TERMS, **candidate: Any) -> Document:
    assessment = assess(make.candidate(event, **candidate), terms)
    assert assessment.reasons == ()
    return draft_document("D-1", [assessment], terms, invoice_date=date(2026, 11, 20))


@st.composite
def priced_amounts(draw: st.DrawFn) -> tuple[str, list[Decimal]]:
    currency = draw(st.sampled_from(["JPY", "GBP", "KWD"]))
    unit = Decimal(1).scaleb(-minor_unit_digits(currency))
    whole = draw(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=12))
    return currency, [number * unit for number in whole]


@given(
    priced=priced_amounts(),
    products=st.lists(st.sampled_from(["Consulting", "Books", "Survey", "Other"]), min_size=12, max_size=12),
    excluded=st.sets(st.integers(0, 11)),
)
def test_what_is_made_always_adds_up(
    make: Any, priced: tuple[str, list[Decimal]], products: list[str], excluded: set[int]
) -> None:
    currency, amounts = priced
    items = [
        make.item(
            f"i{n}",
            str(amount),
            services_product=products[n],
            category="expense" if n in excluded else "timecard",
        )
        for n, amount in enumerate(amounts)
    ]
    event = make.event(*items, currency=currency, billing_event_currency=currency)
    company = make.company(tax_rules=RULES, item_criteria=(make.criterion('category != "expense"'),))
    assessment = assess(make.candidate(event, company=company), TERMS)
    kept = [item for item in items if item.category != "expense"]
    summary, left = exact_sum(amounts), exact_sum(item.amount for item in kept)
    codes = {reason.code for reason in assessment.reasons}
    if not kept or not summary:
        assert codes
        assert codes <= {"no_eligible_item", "zero_amount"}
        return
    if not left or (left > 0) != (summary > 0):
        assert codes == {"sign_conflict"}
        return
    assert codes == set()
    document = draft_document("D-1", [assessment], TERMS, invoice_date=None)
    assert document.kind.value == ("sales_invoice" if summary > 0 else "sales_credit_note")
    assert document.total_net == exact_sum(line.amount for line in document.lines) == abs(left) > 0
    assert document.total_gross == document.total_net + document.total_tax
    assert {line.billing_event_item_id for line in document.lines} | set(document.excluded_items) == {
        item.item_id for item in items
    }
    for line, item in zip(document.lines, kept, strict=True):
        assert line.quantity == item.quantity
        assert line.unit_price * line.quantity == line.amount
    assert len({(total.category, total.rate) for total in document.taxes}) == len(document.taxes)
    for total in document.taxes:
        lines = [
            ln for ln in document.lines if (ln.tax_category, ln.tax_rate) == (total.category, total.rate)
        ]
        assert total.taxable == exact_sum(line.amount for line in lines)
        assert total.tax == round_to_minor_unit(total.taxable * total.rate / 100, currency)
    shown = [document.total_net, document.total_tax, document.total_gross]
    shown += [value for line in document.lines for value in (line.amount, line.unit_price)]
    assert not [value for value in shown if value.is_zero() and value.is_signed()]


def test_a_document_carries_its_events_fields(make: Any) -> None:
    document = draft(make, make.event(make.item("i1"), make.item("i2")))
    assert document.status is DocumentStatus.DRAFT
    assert document.number == "DRAFT-D-1"
    assert document.account == make.account()
    assert document.company == make.company().party
    assert (document.engagement, document.customer_reference) == ("ENG-7", "PO 4711")
    assert (document.currency, document.billing_event_currency) == ("GBP", "GBP")
    assert document.billing_event_ids == ("BE-1",)
    assert [line.line_id for line in document.lines] == ["D-1.1", "D-1.2"]
    assert {line.billing_event_id for line in document.lines} == {"BE-1"}
    assert document.corrects_document_id is None
    assert document.billing_run_id is None


def test_validation_gives_number_date_and_due_date(make: Any) -> None:
    terms = Terms(asked_by_run="R-1")
    assessment = assess(make.candidate(claimed_by_run="R-1"), terms)
    unnumbered = draft_document("D-1", [assessment], terms, invoice_date=None)
    assert (unnumbered.date, unnumbered.due_date, unnumbered.billing_run_id) == (None, None, "R-1")
    validated = validate_document(unnumbered, "SIN-2028-000007", date(2028, 1, 30))
    assert (validated.number, validated.status) == ("SIN-2028-000007", DocumentStatus.VALIDATED)
    assert (validated.date, validated.due_date) == (date(2028, 1, 30), date(2028, 2, 29))
    with pytest.raises(ValueError, match="not a draft"):
        validate_document(validated, "SIN-2028-000008", date(2028, 1, 30))
    with pytest.raises(ValueError, match="not a draft"):
        cancel_document(validated)
    assert cancel_document(unnumbered).status is DocumentStatus.CANCELLED


def test_the_collection_date_stays_the_due_date_when_the_invoice_date_moves(make: Any) -> None:
    assessment = assess(make.candidate(), TERMS)
    made = draft_document(
        "D-1", [assessment], TERMS, invoice_date=date(2026, 11, 20), collection_date=date(2026, 12, 1)
    )
    assert validate_document(made, "SIN-2026-000001", date(2026, 11, 25)).due_date == date(2026, 12, 1)


@pytest.mark.parametrize(
    "of_company, due", [(None, date(2026, 12, 20)), (0, date(2026, 11, 20)), (14, date(2026, 12, 4))]
)
def test_the_company_sets_its_own_payment_days(make: Any, of_company: int | None, due: date) -> None:
    assert draft(make, make.event(), company=make.company(payment_days=of_company)).due_date == due


def test_a_correction_names_the_corrected_events_document(make: Any) -> None:
    original = as_original(dataclasses.replace(draft(make, make.event()), document_id="D-0"))
    event = make.event(make.item("i1", "-5.00"), corrects_billing_event_id="BE-0")
    document = draft(make, event, original=original)
    assert document.kind is DocumentKind.SALES_CREDIT_NOTE
    assert (document.corrects_document_id, document.supplements_document_id) == ("D-0", None)
    same_kind = make.event(make.item("i1", "5.00"), corrects_billing_event_id="BE-0")
    document = draft(make, same_kind, original=original)
    assert (document.corrects_document_id, document.supplements_document_id) == (None, "D-0")


def test_an_event_of_zero_is_an_invoice_of_zero_where_the_policy_says_so(make: Any) -> None:
    terms = Terms(zero_amount_policy=ZeroAmountPolicy.INVOICE)
    event = make.event(make.item("i1", "10.00"), make.item("i2", "-10.00"))
    document = draft(make, event, terms)
    assert (document.kind, document.total_gross) == (DocumentKind.SALES_INVOICE, Decimal(0))
    only_charges = make.company(item_criteria=(make.criterion("amount > 0"),))
    assessment = assess(make.candidate(event, company=only_charges), terms)
    assert [reason.code for reason in assessment.reasons] == ["sign_conflict"]


def test_line_building_speaks_beside_eligibility_and_after_it(make: Any) -> None:
    event = make.event(
        make.item("i1", "10.00", category="expense"),
        make.item("i2", "-5.00", unit_price=Decimal("-4.98")),
        corrects_billing_event_id="BE-0",
    )
    company = make.company(item_criteria=(make.criterion('category != "expense"'),))
    reasons = assess(make.candidate(event, company=company, account=None), TERMS).reasons
    assert [reason.code for reason in reasons] == [
        "account_missing",
        "sign_conflict",
        "rounding_mismatch",
        "corrected_document_unknown",
    ]
    assert all(reason.message for reason in reasons)


def test_a_difference_of_exactly_the_minor_unit_is_none(make: Any) -> None:
    for price, codes in (("10.01", []), ("10.010001", ["rounding_mismatch"]), ("9.99", [])):
        event = make.event(make.item("i1", "10.00", unit_price=Decimal(price)))
        assert [reason.code for reason in assess(make.candidate(event), TERMS).reasons] == codes


def test_refused_events_make_no_document(make: Any) -> None:
    refused = assess(make.candidate(account=None), TERMS)
    with pytest.raises(ValueError, match="nothing speaks against"):
        draft_document("D-1", [refused], TERMS, invoice_date=None)
    with pytest.raises(ValueError, match="nothing speaks against"):
        draft_document("D-1", [], TERMS, invoice_date=None)


@pytest.mark.parametrize(
    ("currency", "net", "gross"),
    [("GBP", "10.00", "-10.00"), ("JPY", "10", "-10"), ("KWD", "0.010", "-0.010")],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_total_below_zero_is_made_with_its_warning(
    make: Any, currency: str, net: str, gross: str, sign: int
) -> None:
    unit = Decimal(net) / 10
    items = [
        make.item("a", str(110 * unit * sign), services_product="Other"),
        make.item("b", str(-100 * unit * sign)),
    ]
    event = make.event(*items, currency=currency, billing_event_currency=currency)
    made = draft(make, event, company=make.company(tax_rules=RULES))
    assert (made.total_net, made.total_gross) == (Decimal(net), Decimal(gross))
    (warning,) = made.warnings
    assert (warning.code, warning.detail["total_gross"]) == ("nothing_to_pay", gross)
