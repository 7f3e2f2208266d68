"""The demo's own books say no: to a cent too many, a gap, a second document, a wrong tax, a strange line."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest

from sluice.demo.arithmetic import tax, total, written
from sluice.demo.books import Released, check_books
from sluice.demo.feed import BillingEvent, make_feed

Documents = list[dict[str, Any]]


def document(event: BillingEvent, number: int) -> dict[str, Any]:
    """The document that should be made of the event, computed apart from the code under test."""
    is_invoice = event.summary_amount > 0
    sign = 1 if is_invoice else -1
    currency, company = event.project.currency, event.project.company
    assert company is not None
    lines = [
        {
            "billing_event_item_id": item.item_id,
            "amount": written(sign * item.amount, currency),
            "unit_price": str(sign * item.unit_price),
            "quantity": str(item.quantity),
            "product": item.services_product,
            "description": item.line_description,
        }
        for item in event.items
    ]
    kinds = {company.tax_of(event.project.account.country, item.services_product) for item in event.items}
    taxes = total(
        tax(
            sign
            * total(
                item.amount
                for item in event.items
                if company.tax_of(event.project.account.country, item.services_product) == kind
            ),
            kind[1],
            currency,
        )
        for kind in kinds
    )
    net = abs(event.summary_amount)
    return {
        "document_id": f"D-{event.billing_event_id}",
        "kind": "sales_invoice" if is_invoice else "sales_credit_note",
        "number": f"{'SIN' if is_invoice else 'SCN'}-2026-{number:06}",
        "date": "2026-11-30",
        "currency": currency,
        "company": {"id": company.company_id},
        "account": {"id": event.project.account.account_id},
        "billing_event_ids": [event.billing_event_id],
        "lines": lines,
        "total_net": written(net, currency),
        "total_tax": written(taxes, currency),
        "total_gross": written(net + taxes, currency),
    }


@pytest.fixture
def events() -> list[BillingEvent]:
    """Four invoices and a credit note of one company."""
    feed = make_feed(120, 5)
    yard = [event for event in feed.events.values() if event.project.project_id.endswith("P-YARD")]
    invoices = [event for event in yard if event.summary_amount > 0][:4]
    return [*invoices, next(event for event in yard if event.summary_amount < 0)]


@pytest.fixture
def released(events: list[BillingEvent]) -> list[Released]:
    """All of them, released."""
    return [Released(event.billing_event_id, event.project, event.items) for event in events]


@pytest.fixture
def documents(events: list[BillingEvent]) -> Documents:
    """Their documents, all in order."""
    return [document(event, number if number < 5 else 1) for number, event in enumerate(events, start=1)]


def failing(
    released: list[Released],
    documents: Documents,
    stated: dict[str, str],
    reverted: AbstractSet[str] = frozenset(),
) -> set[str]:
    """The checks that found a difference."""
    checks = check_books(released, documents, stated, reverted=reverted)
    return {check.check for check in checks if check.differences}


def test_books_in_order_balance(released: list[Released], documents: Documents) -> None:
    assert failing(released, documents, {}) == set()


def a_cent_more(documents: Documents) -> None:
    documents[0]["total_net"] = written(Decimal(documents[0]["total_net"]) + Decimal("0.01"), "GBP")


def a_gap(documents: Documents) -> None:
    documents[3]["number"] = "SIN-2026-000005"


def a_number_twice(documents: Documents) -> None:
    documents[3]["number"] = documents[2]["number"]


def a_number_of_another_kind(documents: Documents) -> None:
    documents[4]["number"] = "SIN-2026-000005"


def a_second_document(documents: Documents) -> None:
    documents.append({**deepcopy(documents[0]), "number": "SIN-2026-000005"})


def a_missing_document(documents: Documents) -> None:
    del documents[3]


def a_wrong_tax(documents: Documents) -> None:
    documents[0]["total_tax"] = "0.00"


def a_line_of_another_amount(documents: Documents) -> None:
    documents[1]["lines"][0]["amount"] = "0.01"


def a_line_of_another_product(documents: Documents) -> None:
    documents[1]["lines"][0]["product"] = "Other"


def a_credit_that_is_negative(documents: Documents) -> None:
    documents[4]["total_net"] = f"-{documents[4]['total_net']}"


def another_company(documents: Documents) -> None:
    documents[0]["company"]["id"] = "C-OTHER"


@pytest.mark.parametrize(
    "spoil, noticed",
    [
        (a_cent_more, {"documents_equal_released", "taxes_and_totals"}),
        (a_gap, {"numbers_without_gap"}),
        (a_number_twice, {"numbers_without_gap"}),
        (a_number_of_another_kind, {"numbers_without_gap"}),
        (
            a_second_document,
            {"documents_equal_released", "one_document_or_a_reason_for_each_event", "lines_equal_items"},
        ),
        (a_missing_document, {"documents_equal_released", "one_document_or_a_reason_for_each_event"}),
        (a_wrong_tax, {"taxes_and_totals"}),
        (a_line_of_another_amount, {"lines_equal_items"}),
        (a_line_of_another_product, {"lines_equal_items"}),
        (a_credit_that_is_negative, {"documents_equal_released", "taxes_and_totals"}),
        (another_company, {"taxes_and_totals", "numbers_without_gap"}),
    ],
)
def test_a_difference_is_noticed(
    released: list[Released], documents: Documents, spoil: Callable[[Documents], None], noticed: set[str]
) -> None:
    spoil(documents)
    assert failing(released, documents, {}) == noticed


def test_an_event_without_document_needs_a_reason_and_one_with_a_reason_has_none(
    released: list[Released], documents: Documents
) -> None:
    event_id = released[3].billing_event_id
    assert failing(released, documents[:3] + documents[4:], {event_id: "zero_amount"}) == set()
    assert "one_document_or_a_reason_for_each_event" in failing(
        released, documents, {event_id: "zero_amount"}
    )


def test_a_document_of_what_was_not_released_is_noticed(
    released: list[Released], documents: Documents
) -> None:
    assert "one_document_or_a_reason_for_each_event" in failing(released[:4], documents, {})


def mirror_of(taken_back: dict[str, Any]) -> dict[str, Any]:
    """The opposite document that takes an invoice back."""
    return {
        **deepcopy(taken_back),
        "document_id": "D-MIRROR",
        "mirrors_document_id": taken_back["document_id"],
        "kind": "sales_credit_note",
        "number": "SCN-2026-000002",
    }


def test_a_reverted_event_s_document_is_taken_back_by_one_like_it(
    released: list[Released], documents: Documents
) -> None:
    undone = {released[0].billing_event_id}
    taken_back = [*documents, mirror_of(documents[0])]
    assert failing(released[1:], taken_back, {}, undone) == set()
    assert failing(released[1:], documents, {}, undone) == {"reverted_is_taken_back"}
    assert failing(released[1:], [*taken_back, mirror_of(documents[0])], {}, undone) == {
        "reverted_is_taken_back",
        "numbers_without_gap",
    }
    taken_back[-1]["total_gross"] = "0.01"
    assert failing(released[1:], taken_back, {}, undone) == {"reverted_is_taken_back"}
