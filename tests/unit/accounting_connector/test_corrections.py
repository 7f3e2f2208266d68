"""What corrections may take, and what a revert mirrors (documents.md sections 3.1, 3.2 and 3.4)."""

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting_connector.domain.assessment import assess
from accounting_connector.domain.corrections import (
    CreditedLine,
    Original,
    OriginalLine,
    corrected_totals,
    excess_reason,
    left_body,
    mismatch_reason,
    tax_of_correction,
)
from accounting_connector.domain.documents import (
    Document,
    DocumentStatus,
    as_original,
    draft_document,
    validate_document,
)
from accounting_connector.domain.eligibility import Terms
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.mirrors import mirror_document
from accounting_connector.domain.tax import Tax, TaxRule, TaxTotal, product_key, tax_totals
from shared.money import ZERO, exact_sum, format_amount, minor_unit

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "in_and_out.json").read_text("utf-8")
)["cases"]
INVOICE = DocumentKind.SALES_INVOICE
STANDARD = Tax("S", Decimal(20))
REDUCED = Tax("S", Decimal(5))


def cases(rule: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in CASES if case["rule"] == rule]


def totals_of(nets: Mapping[str, str | Decimal], currency: str = "GBP") -> tuple[TaxTotal, ...]:
    """Totals from nets by category and rate, such as "S 20"."""
    taxed = []
    for text, net in nets.items():
        category, rate = text.split()
        taxed.append((Tax(category, Decimal(rate)), Decimal(net)))
    return tax_totals(taxed, currency)


def original_of(nets: Mapping[str, str | Decimal], currency: str = "GBP", **fields: Any) -> Original:
    values: dict[str, Any] = {
        "document_id": "D-1",
        "kind": INVOICE,
        "account_id": "A-1",
        "company_id": "C-UK",
        "currency": currency,
        "lines": (),
        "taxes": totals_of(nets, currency),
    }
    return Original(**{**values, **fields})


def corrected_by(
    original: Original, nets: Mapping[str, str | Decimal]
) -> tuple[Original, tuple[TaxTotal, ...]]:
    totals = totals_of(nets, original.currency)
    assert excess_reason(original, totals) is None
    taken = corrected_totals(original, totals)
    return original.after(taken), taken


@pytest.mark.parametrize("case", cases("3.2 what is left"))
def test_the_given_corrections(case: dict[str, Any]) -> None:
    asked, wanted = case["input"], case["expect"]
    original = original_of(asked["original_net"], asked["currency"])
    for earlier in asked["earlier_corrections"]:
        original, _ = corrected_by(original, earlier)
    if "code" in wanted:
        reason = excess_reason(original, totals_of(asked["correction_net"]))
        assert reason is not None
        assert (reason.code, reason.detail["left"]) == (wanted["code"], wanted["left"])
        return
    after, taken = corrected_by(original, asked["correction_net"])
    shown = {(each["category"], Decimal(each["rate"])): each for each in wanted["taxes"]}
    assert {(each.category, each.rate): (each.taxable, each.tax) for each in taken} == {
        rate: (Decimal(each["taxable"]), Decimal(each["tax"])) for rate, each in shown.items()
    }
    gross = exact_sum(amount for each in taken for amount in (each.taxable, each.tax))
    assert format_amount(gross, asked["currency"]) == wanted["total_gross"]
    assert (left_body(after), after.is_fully_corrected) == (wanted["left"], wanted["fully_corrected"])


@pytest.mark.parametrize("case", cases("3.2 rate of a correcting line"))
def test_the_given_rates(case: dict[str, Any]) -> None:
    asked, wanted = case["input"], case["expect"]
    lines = tuple(
        OriginalLine(
            each["item_id"], product_key(each["product"]), Tax(each["category"], Decimal(each["rate"]))
        )
        for each in asked["original_lines"]
    )
    original = original_of({"S 20": "1.00"}, lines=lines)
    found = tax_of_correction(original, asked["line"]["product"], asked["line"].get("corrects_item_id"))
    assert found == Tax(wanted["category"], Decimal(wanted["rate"]))


def test_a_rate_that_cannot_be_told_is_asked_for() -> None:
    lines = (OriginalLine("i1", "consulting", STANDARD), OriginalLine("i2", "books", REDUCED))
    original = original_of({"S 20": "1.00"}, lines=lines)
    assert tax_of_correction(original, "Hosting") == "correction_tax_ambiguous"
    assert tax_of_correction(original, "Books", "i9") == "corrected_item_unknown"
    one_rate = original_of({"S 20": "1.00"}, lines=lines[:1])
    assert tax_of_correction(one_rate, "Hosting") == STANDARD


@pytest.mark.parametrize("case", [each for each in cases("3.1 match") if "code" in each.values[0]["expect"]])
def test_a_correction_is_its_originals_customers(case: dict[str, Any]) -> None:
    asked, wanted = case["input"], case["expect"]
    fields = {name: asked["original"][name] for name in ("account_id", "company_id")}
    original = original_of({"S 20": "1.00"}, asked["original"]["currency"], **fields)
    given_fields = {name: asked["correction"][name] for name in ("account_id", "company_id", "currency")}
    reason = mismatch_reason(original, **given_fields)
    assert reason is not None
    assert (reason.code, reason.detail["fields"]) == (wanted["code"], wanted["fields"])
    same = {name: asked["original"][name] for name in given_fields}
    assert mismatch_reason(original, **same) is None


@given(st.data())
def test_partial_credits_add_up_to_the_original_in_every_order(data: st.DataObject) -> None:
    """To the cent, by rate, in currencies of 0, 2 and 3 digits; a cent more is refused at every step."""
    currency = data.draw(st.sampled_from(["GBP", "JPY", "KWD"]))
    unit = minor_unit(currency)
    rates = data.draw(st.lists(st.sampled_from(["S 20", "S 5", "S 7.7", "Z 0"]), min_size=1, unique=True))
    amounts = st.integers(-10_000, 10_000).filter(bool)
    nets = {rate: data.draw(amounts) for rate in rates}
    original = original_of({rate: net * unit for rate, net in nets.items()}, currency)
    parts = []
    for rate, net in nets.items():
        cuts = sorted(data.draw(st.lists(st.integers(0, abs(net)), max_size=5)))
        bounds = [0, *cuts, abs(net)]
        sign = 1 if net > 0 else -1
        parts += [(rate, sign * (end - start) * unit) for start, end in itertools.pairwise(bounds)]
    taken: list[TaxTotal] = []
    for rate, part_net in data.draw(st.permutations(parts)):
        left = {f"{c} {r.normalize():f}": part.net for (c, r), part in original.left().items()}
        over = left[rate] + (unit if nets[rate] > 0 else -unit)
        assert excess_reason(original, totals_of({rate: over}, currency)) is not None
        assert excess_reason(original, totals_of({rate: -unit * (1 if nets[rate] > 0 else -1)}, currency))
        original, totals = corrected_by(original, {rate: part_net})
        taken += totals
    assert original.is_fully_corrected
    for total in original.taxes:
        of_rate = [each for each in taken if (each.category, each.rate) == (total.category, total.rate)]
        assert exact_sum(each.taxable for each in of_rate) == total.taxable
        assert exact_sum(each.tax for each in of_rate) == total.tax
        assert all(min(ZERO, total.tax) <= each.tax <= max(ZERO, total.tax) for each in of_rate)


def invoiced(
    make: Any, events: Mapping[str, Sequence[Any]], currency: str = "GBP", **settings: Any
) -> Document:
    """One validated document of these events."""
    rules = (TaxRule(None, None, STANDARD), TaxRule("Books", None, REDUCED))
    company = make.company(**{"tax_rules": rules, **settings})
    terms = Terms(asked_by_run="R-1")
    assessments = [
        assess(
            make.candidate(
                make.event(
                    *items, billing_event_id=event_id, currency=currency, billing_event_currency=currency
                ),
                company=company,
            ),
            terms,
        )
        for event_id, items in events.items()
    ]
    made = draft_document("D-1", assessments, terms, invoice_date=None, collection_date=date(2026, 12, 1))
    return validate_document(made, "X-2026-000001", date(2026, 11, 20))


def credit(
    amount: str, event_id: str = "BE-1", *, item_id: str | None = None, product: str = "Consulting"
) -> CreditedLine:
    rate = REDUCED.rate if product == "Books" else STANDARD.rate
    return CreditedLine(event_id, item_id, product, ("S", rate), Decimal(amount))


def mirrored(document: Document, credited: Sequence[CreditedLine] = (), *event_ids: str) -> Document | None:
    original = as_original(document)
    for each in credited:
        totals = tax_totals([(Tax(*each.rate), each.amount)], document.currency)
        original = original.after(corrected_totals(original, totals))
    ids = event_ids or document.billing_event_ids
    return mirror_document(document, original, "D-2", billing_event_ids=ids, credited=credited)


@pytest.mark.parametrize("amount", ["100.00", "-100.00"])
def test_a_mirror_is_the_opposite_document_over_the_same_items(make: Any, amount: str) -> None:
    items = [make.item("i1", amount), make.item("i2", amount), make.item("i3", amount, category="expense")]
    original = invoiced(make, {"BE-1": items}, item_criteria=(make.criterion('category != "expense"'),))
    mirror = mirrored(original)
    assert mirror is not None
    assert {mirror.kind, original.kind} == set(DocumentKind)
    assert (mirror.status, mirror.number) == (DocumentStatus.DRAFT, "DRAFT-D-2")
    assert mirror.corrects_document_id == mirror.mirrors_document_id == "D-1"
    assert mirror.billing_run_id is None
    assert mirror.total_net == exact_sum(line.amount for line in mirror.lines) == Decimal(200)
    assert [line.billing_event_item_id for line in mirror.lines] == ["i1", "i2"]
    assert (len(original.left_out_items), mirror.left_out_items, mirror.excluded_items) == (1, (), ())
    assert {line.line_id for line in mirror.lines}.isdisjoint(line.line_id for line in original.lines)
    assert (mirror.taxes, mirror.total_gross) == (original.taxes, original.total_gross)
    validated = validate_document(mirror, "Y-2026-000001", date(2026, 11, 21))
    assert validated.due_date == date(2026, 12, 21)
    for refused in (dataclasses.replace(original, status=DocumentStatus.DRAFT), validated):
        with pytest.raises(ValueError, match="cannot be mirrored"):
            mirrored(refused)


@pytest.mark.parametrize("case", cases("3.4 revert mirrors what is left"))
def test_the_given_reverts(make: Any, case: dict[str, Any]) -> None:
    asked, wanted = case["input"], case["expect"]
    original = invoiced(make, {"BE-1": [make.item("i1", asked["event_net"])]})
    mirror = mirrored(original, [credit(net) for net in asked["credit_nets"]])
    assert (mirror is None) == (wanted["outcome"] == "already_corrected")
    if mirror is not None:
        assert mirror.total_net == Decimal(wanted["mirror_net"])


@pytest.mark.parametrize("case", cases("3.4 revert of one event of a grouped document"))
def test_the_given_reverts_of_grouped_documents(make: Any, case: dict[str, Any]) -> None:
    asked, wanted = case["input"], case["expect"]
    events = {event: [make.item(event, nets["S 20"])] for event, nets in asked["event_nets"].items()}
    document = invoiced(make, events)
    original = as_original(document)
    for earlier in asked["earlier_corrections"]:
        original, _ = corrected_by(original, earlier["net"])
    credited = [credit(each["net"]["S 20"], each["event"]) for each in asked["earlier_corrections"]]
    mirror = mirror_document(
        document, original, "D-2", billing_event_ids={asked["revert"]}, credited=credited
    )
    assert mirror is not None
    assert mirror.billing_event_ids == (asked["revert"],)
    (total,) = mirror.taxes
    assert [format_amount(each, "GBP") for each in (total.taxable, total.tax, mirror.total_gross)] == [
        wanted["taxes"][0]["taxable"],
        wanted["taxes"][0]["tax"],
        wanted["total_gross"],
    ]
    after = original.after(mirror.taxes)
    assert (left_body(after), after.is_fully_corrected) == (wanted["left"], wanted["fully_corrected"])


def test_a_credit_is_taken_from_the_line_that_it_names_then_from_its_product(make: Any) -> None:
    items = [
        make.item("i1", "100.00", services_product="Survey"),
        make.item("i2", "60.00"),
        make.item("i3", "60.00"),
        make.item("i4", "9.00", services_product="Books"),
    ]
    document = invoiced(make, {"BE-1": items})
    mirror = mirrored(
        document, [credit("40.00", item_id="i3"), credit("70.00"), credit("9.00", product="Books")]
    )
    assert mirror is not None
    shown = [(line.billing_event_item_id, line.quantity, line.amount) for line in mirror.lines]
    assert shown == [("i1", Decimal(1), Decimal("100.00")), ("i3", Decimal(1), Decimal("10.00"))]
    assert [total.rate for total in mirror.taxes] == [Decimal(20)]


@given(
    nets=st.lists(st.integers(-500, 500).filter(bool), min_size=1, max_size=6),
    amounts=st.lists(st.integers(1, 300), max_size=4),
    order=st.randoms(use_true_random=False),
    currency=st.sampled_from(["GBP", "JPY", "KWD"]),
)
def test_credits_and_mirrors_of_each_event_add_up_to_the_document(
    make: Any, nets: list[int], amounts: list[int], order: Any, currency: str
) -> None:
    """However much was credited before, and in whatever order its events are reverted."""
    unit = minor_unit(currency)
    if sum(nets) <= 0:
        return
    events = {f"BE-{i}": [make.item(f"i{i}", str(net * unit))] for i, net in enumerate(nets)}
    rules = (TaxRule(None, None, STANDARD),)
    company = make.company(tax_rules=rules)
    assessments = [
        assess(
            make.candidate(
                make.event(*items, billing_event_id=each, currency=currency, billing_event_currency=currency),
                company=company,
            ),
            Terms(),
        )
        for each, items in events.items()
    ]
    taxed = [dataclasses.replace(each, kind=INVOICE) for each in assessments]
    document = draft_document("D-1", taxed, Terms(), invoice_date=None)
    lines = tuple(
        dataclasses.replace(line, amount=net * unit, unit_price=net * unit)
        for line, net in zip(document.lines, nets, strict=True)
    )
    totals = tax_totals(((STANDARD, line.amount) for line in lines), currency)
    document = dataclasses.replace(
        document, lines=lines, taxes=totals, status=DocumentStatus.VALIDATED, kind=INVOICE
    )
    original, credited = as_original(document), []
    left = sum(nets)
    for each in amounts:
        amount = min(each, left)
        left -= amount
        if amount:
            original, _ = corrected_by(original, {"S 20": amount * unit})
            event_id = order.choice(sorted(events))
            credited.append(CreditedLine(event_id, None, "Consulting", ("S", Decimal(20)), amount * unit))
    ids = sorted(events)
    order.shuffle(ids)
    for event_id in ids:
        mirror = mirror_document(document, original, "D-2", billing_event_ids={event_id}, credited=credited)
        if mirror is not None:
            assert mirror.total_net == exact_sum(line.amount for line in mirror.lines)
            original = original.after(mirror.taxes)
        for part, total in zip(original.left().values(), original.taxes, strict=True):
            assert ZERO <= part.net <= total.taxable
            assert ZERO <= part.tax <= total.tax
            assert part.net or not part.tax
