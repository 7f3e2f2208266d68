"""Billing events as the connector knows them, completed by the release service (domain.md section 1)."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from shared.money import exact_sum

_TOLD_OF_EVENTS: Final = (
    *("version", "released", "released_at", "invoiced", "invoice_number", "invoice_date", "document_id"),
    *("origin_id", "root_id", "made_by_cap", "on_hold", "conflict", "category_mismatch", "missing", "filled"),
    *("released_by", "released_by_job_id", "queued_by", "waits_for", "left_out_criteria"),
)
_TOLD_OF_ITEMS: Final = (
    *("created_at", "business_record_version", "services_product_from", "released", "invoiced", "billed"),
    *("left_out", "adjusts_item_id", "category_mismatch"),
)
"""What release tells that decides nothing here, but that criteria and mappings may ask for."""


class Stage(StrEnum):
    """Stages of a billing event (domain.md section 1)."""

    INCOMPLETE = "incomplete"
    AWAITING_RELEASE = "awaiting_release"
    QUEUED = "queued"
    RELEASED = "released"
    INVOICED = "invoiced"
    REVERTING = "reverting"
    REVERTED = "reverted"
    CLOSED = "closed"
    DELETED = "deleted"


@dataclass(slots=True)
class BillingEventItem:
    """One line of a billing event; amounts and prices in the event's currency.

    Nothing changes it. It is not declared `frozen`, nor are the other values that are made for each line, since making
    one would take three times as long.
    """

    item_id: str
    category: str
    accounting_line_description: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    services_product: str | None
    business_record_id: str | None = None
    description: str | None = None
    date: datetime.date | None = None
    budget_id: str | None = None
    corrects_item_id: str | None = None
    """The item of the corrected document's event that this one takes back (documents.md section 3.2)."""
    fields: Mapping[str, object] = field(default_factory=dict)
    """Custom fields from the PSA, as JSON values."""
    told: Mapping[str, object] = field(default_factory=dict)
    """The item as release tells of it, as JSON values."""


@dataclass(frozen=True, slots=True)
class BillingEvent:
    """One project's billable items, with its project's engagement; items in the order of their event."""

    billing_event_id: str
    stage: Stage
    currency: str
    account_id: str | None
    company_id: str | None
    billing_event_currency: str | None
    items: tuple[BillingEventItem, ...]
    project_id: str | None = None
    batch_id: str | None = None
    date: datetime.date | None = None
    engagement: str | None = None
    customer_reference: str | None = None
    auto_pass_to_accounting: bool = False
    corrects_billing_event_id: str | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    """Custom fields from the PSA, as JSON values."""
    told: Mapping[str, object] = field(default_factory=dict)
    """The event as release tells of it, as JSON values."""


def summary_amount(event: BillingEvent) -> Decimal:
    """The exact sum of all its items' amounts, eligible or not."""
    return exact_sum(item.amount for item in event.items)


def item_fields(item: BillingEventItem) -> dict[str, object]:
    """What criteria and mappings see of an item, by name: all that release tells of it, amounts exact, dates as text.

    Custom fields stand in `fields`, and beside the item's own where their names differ.
    """
    return {
        **item.fields,
        **{name: item.told.get(name) for name in _TOLD_OF_ITEMS},
        "item_id": item.item_id,
        "category": item.category,
        "business_record_id": item.business_record_id,
        "date": _text(item.date),
        "description": item.description,
        "accounting_line_description": item.accounting_line_description,
        "quantity": item.quantity,
        "unit_price": item.unit_price,
        "amount": item.amount,
        "services_product": item.services_product,
        "budget_id": item.budget_id,
        "corrects_item_id": item.corrects_item_id,
        "fields": item.fields,
    }


def event_fields(event: BillingEvent) -> dict[str, object]:
    """What criteria and mappings see of an event, by name, like `item_fields`; its items stand in `items`."""
    return {
        **event.fields,
        **{name: event.told.get(name) for name in _TOLD_OF_EVENTS},
        "billing_event_id": event.billing_event_id,
        "stage": event.stage.value,
        "project_id": event.project_id,
        "batch_id": event.batch_id,
        "date": _text(event.date),
        "currency": event.currency,
        "account_id": event.account_id,
        "company_id": event.company_id,
        "billing_event_currency": event.billing_event_currency,
        "engagement": event.engagement,
        "customer_reference": event.customer_reference,
        "auto_pass_to_accounting": event.auto_pass_to_accounting,
        "corrects_billing_event_id": event.corrects_billing_event_id,
        "summary_amount": summary_amount(event),
        "fields": event.fields,
        "items": [item_fields(item) for item in event.items],
    }


def _text(day: datetime.date | None) -> str | None:
    return None if day is None else day.isoformat()
