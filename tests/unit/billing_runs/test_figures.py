"""The figures of a run: reports before and after invoicing, and its books (domain.md sections 5 and 6)."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from billing_runs.domain.books import ClaimedEvent, Difference, Fate, Figures, SettledEvent, balance
from billing_runs.domain.review import Review
from billing_runs.domain.rules import DocumentKind
from billing_runs.domain.statistics import (
    TOP_COUNT,
    CountedDocument,
    CountedItem,
    DocumentFigures,
    Top,
    post_invoicing_report,
    pre_invoicing_report,
)

ITEM = CountedItem(
    account_id="A-1",
    project_id="P-1",
    currency="GBP",
    category="timecard",
    services_product="Consulting",
    amount=Decimal("100.00"),
)


def test_pre_invoicing_report_counts_and_never_adds_currencies() -> None:
    report = pre_invoicing_report(
        [
            ITEM,
            replace(ITEM, category="expense", services_product=None, amount=Decimal("-30.00")),
            replace(ITEM, project_id="P-2", amount=Decimal("0.50")),
            replace(ITEM, account_id=None, currency="JPY", amount=Decimal(700), items=2),
        ],
        events=3,
    )

    assert (report.accounts, report.projects, report.events, report.items) == (1, 2, 3, 5)
    assert report.amounts == {"GBP": Decimal("70.50"), "JPY": Decimal(700)}
    assert report.by_category == {
        "expense": {"GBP": Decimal("-30.00")},
        "timecard": {"GBP": Decimal("100.50"), "JPY": Decimal(700)},
    }
    assert report.top_accounts == (Top("A-1", "GBP", Decimal("70.50")),)
    assert report.top_projects == (
        Top("P-1", "GBP", Decimal("70.00")),
        Top("P-2", "GBP", Decimal("0.50")),
        Top("P-1", "JPY", Decimal(700)),
    )
    assert report.top_products == (
        Top("Consulting", "GBP", Decimal("100.50")),
        Top("Consulting", "JPY", Decimal(700)),
    )


def test_tops_are_limited_per_currency() -> None:
    accounts = range(TOP_COUNT + 2)
    report = pre_invoicing_report(
        (
            replace(ITEM, account_id=f"A-{number:02}", currency=currency, amount=Decimal(100 - number))
            for number in accounts
            for currency in ("EUR", "GBP")
        ),
        events=1,
    )

    names = [f"A-{number:02}" for number in accounts][:TOP_COUNT]
    assert [top.name for top in report.top_accounts] == names * 2


def test_report_over_nothing_is_empty() -> None:
    report = pre_invoicing_report([], events=0)

    assert (report.events, report.amounts, report.top_accounts) == (0, {}, ())


def test_post_invoicing_report_tells_documents_by_review_kind_and_status() -> None:
    invoice = CountedDocument(
        account_id="A-2",
        kind=DocumentKind.SALES_INVOICE,
        status="draft",
        review=Review.REJECTED,
        currency="GBP",
        total_net=Decimal("100.00"),
        total_gross=Decimal("120.00"),
    )
    report = post_invoicing_report(
        [
            invoice,
            replace(invoice, account_id="A-1"),
            replace(invoice, review=Review.VALIDATED, status="validated"),
        ]
    )

    assert report.accounts_rejected == ("A-1", "A-2")
    assert report.documents == (
        DocumentFigures(
            Review.REJECTED,
            DocumentKind.SALES_INVOICE,
            "draft",
            2,
            {"GBP": Decimal("200.00")},
            {"GBP": Decimal("240.00")},
        ),
        DocumentFigures(
            Review.VALIDATED,
            DocumentKind.SALES_INVOICE,
            "validated",
            1,
            {"GBP": Decimal("100.00")},
            {"GBP": Decimal("120.00")},
        ),
    )


AMOUNTS = some.decimals(-1000, 1000, places=2)
SETTLED = some.lists(
    some.tuples(some.sampled_from(["GBP", "EUR"]), AMOUNTS, some.sampled_from(Fate)), max_size=12
).map(lambda rows: [SettledEvent(f"BE-{number}", *row) for number, row in enumerate(rows)])


def _claims(settled: list[SettledEvent]) -> list[ClaimedEvent]:
    return [ClaimedEvent(event.billing_event_id, event.currency, event.amount) for event in settled]


@given(SETTLED)
def test_books_balance_when_every_claimed_event_has_one_fate(settled: list[SettledEvent]) -> None:
    books = balance(_claims(settled), settled)

    assert books.balanced
    for currency, claimed in books.claimed.items():
        fates = [figures[currency] for figures in books.settled.values() if currency in figures]
        assert claimed.events == sum(each.events for each in fates)
        assert claimed.amount == sum(each.amount for each in fates)


@given(SETTLED.filter(bool), some.data())
def test_books_do_not_balance_when_an_event_is_lost_or_settled_twice(
    settled: list[SettledEvent], data: some.DataObject
) -> None:
    one = data.draw(some.sampled_from(settled))
    claims = _claims(settled)

    lost = balance(claims, [event for event in settled if event != one])
    twice = balance(claims, [*settled, replace(one, fate=Fate.FAILED)])

    assert not lost.balanced
    assert lost.without_fate == (one.billing_event_id,)
    assert not twice.balanced
    assert twice.with_surplus_fate == (one.billing_event_id,)


def test_books_name_the_currency_and_both_sides_of_a_difference() -> None:
    claims = [ClaimedEvent("BE-1", "GBP", Decimal("100.00")), ClaimedEvent("BE-2", "EUR", Decimal("5.00"))]
    settled = [
        SettledEvent("BE-1", "GBP", Decimal("99.99"), Fate.VALIDATED),
        SettledEvent("BE-2", "EUR", Decimal("5.00"), Fate.REOPENED),
    ]

    books = balance(claims, settled)

    assert books.differences == (
        Difference("GBP", Figures(1, Decimal("100.00")), Figures(1, Decimal("99.99"))),
    )
    assert books.settled[Fate.REOPENED] == {"EUR": Figures(1, Decimal("5.00"))}


def test_books_see_one_event_settled_in_the_place_of_another() -> None:
    claims = [ClaimedEvent(name, "GBP", Decimal("1.00")) for name in ("BE-1", "BE-2")]
    settled = [SettledEvent("BE-1", "GBP", Decimal("1.00"), fate) for fate in (Fate.DRAFT, Fate.FAILED)]

    books = balance(claims, settled)

    assert books.differences == ()
    assert not books.balanced
    assert (books.without_fate, books.with_surplus_fate) == (("BE-2",), ("BE-1",))


@pytest.mark.parametrize("fate", Fate)
def test_every_fate_has_its_figures_even_when_empty(fate: Fate) -> None:
    assert balance([], []).settled[fate] == {}
