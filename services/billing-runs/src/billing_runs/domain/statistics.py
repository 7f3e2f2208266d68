"""The figures of a run: before invoicing over its billing events, after it over its documents (domain.md
section 5).

Amounts of different currencies are never added: every amount is kept by currency, and the tops are ranked
within one.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing_runs.domain.review import Review
from billing_runs.domain.rules import DocumentKind
from shared.money import exact_sum

TOP_COUNT: Final = 10
"""How many accounts, projects and products each top lists per currency."""

AmountByCurrency = dict[str, Decimal]
"""Exact sums by ISO 4217 code."""


@dataclass(frozen=True, slots=True)
class CountedItem:
    """Billing event items with what they are counted under: one, or all that agree in it, summed up.

    `services_product` None: none found yet.
    """

    account_id: str | None
    project_id: str
    currency: str
    category: str
    services_product: str | None
    amount: Decimal
    items: int = 1


@dataclass(frozen=True, slots=True)
class Top:
    """One place of a top list: a name (account, project or product id), and its amount in one currency."""

    name: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PreInvoicingReport:
    """What a run is about to invoice: counts, amounts, and the largest amounts per currency."""

    accounts: int
    projects: int
    events: int
    items: int
    amounts: AmountByCurrency
    by_category: dict[str, AmountByCurrency]
    top_accounts: tuple[Top, ...]
    top_projects: tuple[Top, ...]
    top_products: tuple[Top, ...]


@dataclass(frozen=True, slots=True)
class CountedDocument:
    """Documents of a run with what they are counted under: one, or several that agree in it, summed up."""

    account_id: str
    kind: DocumentKind
    status: str
    review: Review
    currency: str
    total_net: Decimal
    total_gross: Decimal
    documents: int = 1


@dataclass(frozen=True, slots=True)
class DocumentFigures:
    """The documents of one review, kind and status: how many, and their totals by currency."""

    review: Review
    kind: DocumentKind
    status: str
    documents: int
    total_net: AmountByCurrency
    total_gross: AmountByCurrency


@dataclass(frozen=True, slots=True)
class PostInvoicingReport:
    """What a run has made: documents by review, kind and status, and the accounts with a rejected one."""

    documents: tuple[DocumentFigures, ...]
    accounts_rejected: tuple[str, ...]


def pre_invoicing_report(items: Iterable[CountedItem], *, events: int) -> PreInvoicingReport:
    """The report over the items of so many billing events, which are those that a run takes."""
    counted = list(items)
    by_category = defaultdict[str, list[CountedItem]](list)
    for item in counted:
        by_category[item.category].append(item)
    return PreInvoicingReport(
        accounts=len({item.account_id for item in counted if item.account_id is not None}),
        projects=len({item.project_id for item in counted}),
        events=events,
        items=sum(item.items for item in counted),
        amounts=_sums((item.currency, item.amount) for item in counted),
        by_category={
            category: _sums((item.currency, item.amount) for item in members)
            for category, members in sorted(by_category.items())
        },
        top_accounts=_tops(counted, lambda item: item.account_id),
        top_projects=_tops(counted, lambda item: item.project_id),
        top_products=_tops(counted, lambda item: item.services_product),
    )


def post_invoicing_report(documents: Iterable[CountedDocument]) -> PostInvoicingReport:
    """The report over the documents that are in the run now."""
    counted = list(documents)
    groups = defaultdict[tuple[Review, DocumentKind, str], list[CountedDocument]](list)
    for document in counted:
        groups[document.review, document.kind, document.status].append(document)
    return PostInvoicingReport(
        documents=tuple(
            DocumentFigures(
                review=review,
                kind=kind,
                status=status,
                documents=sum(member.documents for member in members),
                total_net=_sums((member.currency, member.total_net) for member in members),
                total_gross=_sums((member.currency, member.total_gross) for member in members),
            )
            for (review, kind, status), members in sorted(groups.items())
        ),
        accounts_rejected=tuple(
            sorted({document.account_id for document in counted if document.review is Review.REJECTED})
        ),
    )


def _sums(amounts: Iterable[tuple[str, Decimal]]) -> AmountByCurrency:
    grouped = defaultdict[str, list[Decimal]](list)
    for currency, amount in amounts:
        grouped[currency].append(amount)
    return {currency: exact_sum(group) for currency, group in sorted(grouped.items())}


def _tops(items: Iterable[CountedItem], name_of: Callable[[CountedItem], str | None]) -> tuple[Top, ...]:
    """The `TOP_COUNT` largest amounts of each currency, currencies in order, equal amounts by name."""
    grouped = defaultdict[tuple[str, str], list[Decimal]](list)
    for item in items:
        name = name_of(item)
        if name is not None:
            grouped[item.currency, name].append(item.amount)
    ranked = sorted(
        (Top(name, currency, exact_sum(amounts)) for (currency, name), amounts in grouped.items()),
        key=lambda top: (top.currency, -top.amount, top.name),
    )
    places = Counter[str]()
    tops = []
    for top in ranked:
        places[top.currency] += 1
        if places[top.currency] <= TOP_COUNT:
            tops.append(top)
    return tuple(tops)
