"""The demo's own books: what was released against the documents that were made, to the cent (domain.md section 6)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sluice.demo.arithmetic import tax, total, written
from sluice.demo.items import Item
from sluice.demo.world import Project

_INVOICE: Final = "sales_invoice"
_CREDIT_NOTE: Final = "sales_credit_note"
_PREFIXES: Final = {_INVOICE: "SIN", _CREDIT_NOTE: "SCN"}

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Released:
    """A released billing event by the demo's own knowledge: its items and whose they are."""

    billing_event_id: str
    project: Project
    items: tuple[Item, ...]

    @property
    def amount(self) -> Decimal:
        """The sum of its items."""
        return total(item.amount for item in self.items)


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison; it balances if it found no difference."""

    check: str
    differences: list[str]

    def shown(self) -> dict[str, Any]:
        """As the services' own reconciliations have it."""
        return {"check": self.check, "balanced": not self.differences, "differences": self.differences}


def check_books(
    released: Sequence[Released],
    documents: Sequence[Document],
    stated: Mapping[str, str],
    *,
    reverted: AbstractSet[str] = frozenset(),
) -> list[Check]:
    """Compare released events with validated documents; `stated` says why an event has none, by its id.

    `reverted` are events whose release was undone: their documents have been taken back, and bill nothing.
    """
    live = [document for document in documents if not reverted & set(document["billing_event_ids"])]
    return [
        Check("documents_equal_released", _compare_totals(released, live, stated)),
        Check("one_document_or_a_reason_for_each_event", _compare_events(released, live, stated)),
        Check("lines_equal_items", _compare_lines(released, live)),
        Check("taxes_and_totals", _compare_taxes(released, live)),
        Check("reverted_is_taken_back", _compare_reverted(documents, reverted)),
        Check("numbers_without_gap", _compare_numbers(documents)),
    ]


def signed_total(document: Document) -> Decimal:
    """The document's net total, below 0 for a credit note."""
    net = Decimal(document["total_net"])
    return net if document["kind"] == _INVOICE else -net


def released_totals(released: Iterable[Released]) -> dict[str, str]:
    """What was released by currency."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for event in released:
        found[event.project.currency] += event.amount
    return {currency: written(amount, currency) for currency, amount in sorted(found.items())}


def totals_by_currency(documents: Iterable[Document]) -> dict[str, dict[str, str]]:
    """Net, tax and gross totals of documents by currency and kind, and their signed net."""
    found: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for document in documents:
        sums, kind = found[document["currency"]], document["kind"]
        sums[f"{kind}s"] += Decimal(document["total_net"])
        sums["net"] += signed_total(document)
        sign = 1 if kind == _INVOICE else -1
        sums["tax"] += sign * Decimal(document["total_tax"])
        sums["gross"] += sign * Decimal(document["total_gross"])
    return {
        currency: {name: written(amount, currency) for name, amount in sums.items()}
        for currency, sums in sorted(found.items())
    }


def _compare_totals(
    released: Sequence[Released], documents: Sequence[Document], stated: Mapping[str, str]
) -> list[str]:
    owed: dict[str, Decimal] = defaultdict(Decimal)
    billed: dict[str, Decimal] = defaultdict(Decimal)
    for event in released:
        if event.billing_event_id not in stated:
            owed[event.project.currency] += event.amount
    for document in documents:
        billed[document["currency"]] += signed_total(document)
    return [
        f"{currency}: released {owed[currency]}, documents {billed[currency]}"
        for currency in sorted({*owed, *billed})
        if owed[currency] != billed[currency]
    ]


def _compare_events(
    released: Sequence[Released], documents: Sequence[Document], stated: Mapping[str, str]
) -> list[str]:
    held_by: dict[str, list[str]] = defaultdict(list)
    for document in documents:
        for event_id in document["billing_event_ids"]:
            held_by[event_id].append(document["number"])
    differences = [
        f"{event.billing_event_id} has {len(held_by[event.billing_event_id])} documents"
        for event in released
        if event.billing_event_id not in stated and len(held_by[event.billing_event_id]) != 1
    ]
    differences += [
        f"{event_id} was not passed ({code}), and has document {', '.join(held_by[event_id])}"
        for event_id, code in stated.items()
        if held_by[event_id]
    ]
    known = {event.billing_event_id for event in released}
    return differences + [
        f"document {', '.join(numbers)} bills {event_id}, which was not released"
        for event_id, numbers in held_by.items()
        if numbers and event_id not in known
    ]


def _compare_lines(released: Sequence[Released], documents: Sequence[Document]) -> list[str]:
    items = {item.item_id: item for event in released for item in event.items}
    differences = []
    for document in documents:
        sign = 1 if document["kind"] == _INVOICE else -1
        for line in document["lines"]:
            item = items.get(line["billing_event_item_id"])
            if item is None:
                differences.append(
                    f"{document['number']} bills {line['billing_event_item_id']}, not released"
                )
                continue
            expected = (sign * item.amount, sign * item.unit_price, item.quantity)
            found = tuple(Decimal(line[name]) for name in ("amount", "unit_price", "quantity"))
            said = (line["product"], line["description"])
            if found != expected or said != (item.services_product, item.line_description):
                differences.append(f"{document['number']}: line of {item.item_id} is {found} {said}")
    billed = [line["billing_event_item_id"] for document in documents for line in document["lines"]]
    if len(set(billed)) != len(billed):
        differences.append("an item is billed twice")
    return differences


def _compare_taxes(released: Sequence[Released], documents: Sequence[Document]) -> list[str]:
    """Totals, taxes and parties as the demo computes them from its own figures."""
    events = {event.billing_event_id: event for event in released}
    differences = []
    for document in documents:
        event = events.get(document["billing_event_ids"][0])
        if event is None or event.project.company is None:
            differences.append(f"{document['number']} bills an event that could not be released")
            continue
        project, company = event.project, event.project.company
        taxable: dict[tuple[str, Decimal], Decimal] = defaultdict(Decimal)
        for item in event.items:
            taxable[company.tax_of(project.account.country, item.services_product)] += _as_billed(event, item)
        taxes = total(tax(amount, rate, project.currency) for (_, rate), amount in taxable.items())
        net = abs(event.amount)
        expected = [written(amount, project.currency) for amount in (net, taxes, net + taxes)]
        expected += [company.company_id, project.account.account_id, project.currency]
        found = [document["total_net"], document["total_tax"], document["total_gross"]]
        found += [document["company"]["id"], document["account"]["id"], document["currency"]]
        if found != expected:
            differences.append(f"{document['number']}: found {found}, expected {expected}")
    return differences


def _compare_reverted(documents: Sequence[Document], reverted: AbstractSet[str]) -> list[str]:
    """Each document of a reverted event has one mirror: of the other kind, with the same totals."""
    mirrors: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        if document.get("mirrors_document_id") is not None:
            mirrors[document["mirrors_document_id"]].append(document)
    differences = []
    for document in documents:
        taken_back = mirrors[document["document_id"]]
        is_mirror = document.get("mirrors_document_id") is not None
        if is_mirror or not (taken_back or reverted & set(document["billing_event_ids"])):
            continue
        expected = [({_INVOICE, _CREDIT_NOTE} - {document["kind"]}, _sums(document))]
        if [({each["kind"]}, _sums(each)) for each in taken_back] != expected:
            told = ", ".join(each["number"] for each in taken_back) or "nothing"
            differences.append(f"{document['number']} of a reverted event is taken back by {told}")
    return differences


def _sums(document: Document) -> list[object]:
    return [document[name] for name in ("billing_event_ids", "total_net", "total_tax", "total_gross")]


def _as_billed(event: Released, item: Item) -> Decimal:
    """The item's amount as its document has it: on a credit note with the other sign."""
    return item.amount if event.amount > 0 else -item.amount


def _compare_numbers(documents: Sequence[Document]) -> list[str]:
    """Numbers per company, kind and year run from 1 without gap or repetition."""
    series: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    differences = []
    for document in documents:
        prefix, _, rest = document["number"].partition("-")
        year, _, count = rest.partition("-")
        if prefix != _PREFIXES[document["kind"]] or year != document["date"][:4] or not count.isdecimal():
            differences.append(
                f"{document['number']} of {document['date']} is not a number of its kind and year"
            )
            continue
        series[document["company"]["id"], prefix, year].append(int(count))
    return differences + [
        f"{prefix}-{year} of {company}: {sorted(found)[:20]} is not 1 to {len(found)}"
        for (company, prefix, year), found in sorted(series.items())
        if sorted(found) != list(range(1, len(found) + 1))
    ]
