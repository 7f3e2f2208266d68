"""Completing a billing event: filling what PSA left empty, and knowing what it waits for (domain.md section 1)."""

from dataclasses import dataclass, replace

from release.domain.events import FILLED_BY_HAND, BillingEvent, BillingEventItem, RecordKey
from release.domain.services_product import walk_chain
from release.domain.sources import CompanySource, KnownSources, Source
from release.domain.stages import stage_when_completed


@dataclass(frozen=True, slots=True)
class Completion:
    """An event with everything filled that can be, and what it depends on.

    `event` has its new stage. `missing` is what stayed empty, of account, company, currency and services_product in
    this order; while the event waits it is empty and `waits_for` names what has to arrive instead, the project first,
    then in the order of the items. `sources` is all that the event depends on or waits for: when one of them arrives or
    changes, the event is to be completed again.
    """

    event: BillingEvent
    waits_for: tuple[Source, ...]
    missing: tuple[str, ...]
    sources: frozenset[Source]


@dataclass(frozen=True, slots=True)
class _Head:
    account_id: str | None
    company_id: str | None
    billing_event_currency: str | None
    filled: dict[str, str]
    sources: set[Source]


@dataclass(frozen=True, slots=True)
class _CompletedItem:
    item: BillingEventItem
    waits_for: tuple[Source, ...]
    passed: tuple[Source, ...]


def complete_event(event: BillingEvent, known: KnownSources, company_source: CompanySource) -> Completion:
    """Complete an unreleased event, for the first time or again (domain.md section 1).

    What PSA sent or somebody filled by hand stays; what completion filled before is found anew, so that it follows its
    source. The event may be as PSA sent it or as an earlier completion left it: the result is the same.
    """
    head = _complete_head(_without_found(event), known, company_source)
    sources = head.sources
    waits_for: dict[Source, None] = {}
    if known.project is None:
        waits_for[Source("project", event.project_id)] = None
    items = []
    for item in event.items:
        completed = _complete_item(item, known)
        items.append(completed.item)
        waits_for.update(dict.fromkeys(completed.waits_for))
        sources.update(completed.passed)
    stage = stage_when_completed(event.stage, waits=bool(waits_for))
    completed_event = replace(_with_head(event, head), items=tuple(items), stage=stage)
    missing = () if waits_for else missing_fields(completed_event)
    return Completion(completed_event, tuple(waits_for), missing, frozenset(sources))


def fill_from_sources(
    event: BillingEvent, known: KnownSources, company_source: CompanySource
) -> BillingEvent:
    """Fill only what is empty on a released, not invoiced event, since a source has arrived (domain.md section 1).

    What is already there stays, wherever it came from; so do the stage and the descriptions. Gives the very same event
    if there was nothing to fill.
    """
    items = tuple(_with_product_if_empty(item, known) for item in event.items)
    head = _complete_head(event, known, company_source)
    completed_event = replace(_with_head(event, head), items=items)
    return event if completed_event == event else completed_event


def missing_fields(event: BillingEvent) -> tuple[str, ...]:
    """What is empty of account, company, currency and services_product, in this order."""
    empty = {
        "account": event.account_id is None,
        "company": event.company_id is None,
        "currency": event.billing_event_currency is None,
        "services_product": any(item.services_product is None for item in event.items),
    }
    return tuple(name for name, is_empty in empty.items() if is_empty)


def _without_found(event: BillingEvent) -> BillingEvent:
    """The event without what an earlier completion found for its own fields."""
    kept = {name: origin for name, origin in event.filled.items() if origin in FILLED_BY_HAND}
    if len(kept) == len(event.filled):
        return event
    found = event.filled.keys() - kept.keys()
    return replace(
        event,
        account_id=None if "account_id" in found else event.account_id,
        company_id=None if "company_id" in found else event.company_id,
        billing_event_currency=None if "billing_event_currency" in found else event.billing_event_currency,
        filled=kept,
    )


def _with_head(event: BillingEvent, head: _Head) -> BillingEvent:
    return replace(
        event,
        account_id=head.account_id,
        company_id=head.company_id,
        billing_event_currency=head.billing_event_currency,
        filled=head.filled,
    )


def _complete_head(event: BillingEvent, known: KnownSources, company_source: CompanySource) -> _Head:
    """The event's own fields with what was empty filled, where each filled one came from, and the sources asked."""
    filled = dict(event.filled)
    sources = {Source("project", event.project_id)}
    account_id, company_id, currency = event.account_id, event.company_id, event.billing_event_currency
    project = known.project
    if account_id is None and project is not None and project.account_id is not None:
        account_id, filled["account_id"] = project.account_id, "project"
    if company_id is None and project is not None and (place := project.place(company_source)) is not None:
        if company_source is CompanySource.PROJECT:
            company_id = place
        else:
            source = Source(company_source.value, place)
            sources.add(source)
            company_id = known.companies.only_one_at(source)
        if company_id is not None:
            filled["company_id"] = company_source.value
    if currency is None and company_id is not None:
        sources.add(Source("company", company_id))
        company = known.companies.get(company_id)
        if company is not None and event.currency in company.accounting_currencies:
            currency, filled["billing_event_currency"] = event.currency, "company"
    return _Head(account_id, company_id, currency, filled, sources)


def _complete_item(item: BillingEventItem, known: KnownSources) -> _CompletedItem:
    """The item with product and accounting line description, and what it waits for."""
    waits_for: list[Source] = []
    passed: list[Source] = []
    product, product_from = item.services_product, item.services_product_from
    if product is None or (product_from is not None and product_from not in FILLED_BY_HAND):
        walk = walk_chain(item, known)
        product, product_from = walk.services_product, walk.given_by
        passed.extend(walk.passed)
        if walk.waits_for is not None:
            waits_for.append(walk.waits_for)
    description: str | None = item.description
    mismatch = (key := item.record_key) is not None and key in known.other_kinds
    if item.category == "milestone" and item.business_record_id is not None and not mismatch:
        description = _milestone_name(item, item.business_record_id, known, waits_for, passed)
    if (
        item.budget_id is not None
        and known.project is not None
        and item.budget_id not in known.project.budget_ids
    ):
        waits_for.append(Source("budget", item.budget_id))
    if (product, product_from, description, mismatch) != (
        item.services_product,
        item.services_product_from,
        item.accounting_line_description,
        item.category_mismatch,
    ):
        item = replace(
            item,
            services_product=product,
            services_product_from=product_from,
            accounting_line_description=description,
            category_mismatch=mismatch,
        )
    return _CompletedItem(item, tuple(waits_for), tuple(passed))


def _milestone_name(
    item: BillingEventItem,
    milestone_id: str,
    known: KnownSources,
    waits_for: list[Source],
    passed: list[Source],
) -> str | None:
    """The milestone's name, or the item's description where it has none; None while the milestone is not known."""
    source = Source("milestone", milestone_id)
    passed.append(source)
    milestone = known.records.get(RecordKey("milestone", milestone_id))
    if milestone is None:
        waits_for.append(source)
        return None
    return milestone.name or item.description


def _with_product_if_empty(item: BillingEventItem, known: KnownSources) -> BillingEventItem:
    if item.services_product is not None:
        return item
    walk = walk_chain(item, known)
    if walk.services_product is None:
        return item
    return replace(item, services_product=walk.services_product, services_product_from=walk.given_by)
