"""How the release service speaks of a billing event, in facts and over HTTP (contract.md section 2, Shapes)."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from release.domain.events import BillingEventItem
from release.domain.reasons import Reason
from release.domain.stages import RELEASED_STAGES, Stage
from release.store.events import StoredEvent
from shared.money import format_amount, format_number

MESSAGE_LENGTH_MAX: Final = 2_000
DETAIL_IDS_MAX: Final = 500
DETAIL_OBJECTS_MAX: Final = 20


def format_instant(instant: datetime) -> str:
    """A moment as RFC 3339 in UTC: `2026-11-20T09:00:00Z`."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return f"{instant.isoformat()[:-6]}Z"


def billing_event_body(stored: StoredEvent) -> dict[str, Any]:
    """The billing event as `GET /billing-events/{id}` and the facts show it; every value is JSON."""
    event = stored.event
    released = event.stage in RELEASED_STAGES
    invoiced = is_invoiced(stored)
    return {
        "billing_event_id": event.billing_event_id,
        "version": event.version,
        "project_id": event.project_id,
        "batch_id": event.batch_id,
        "date": event.date.isoformat(),
        "currency": event.currency,
        "account_id": event.account_id,
        "company_id": event.company_id,
        "billing_event_currency": event.billing_event_currency,
        "customer_reference": event.customer_reference,
        "engagement": stored.engagement,
        "auto_pass_to_accounting": event.auto_pass_to_accounting,
        "corrects_billing_event_id": event.corrects_billing_event_id,
        "stage": event.stage.value,
        "released": released,
        "released_at": format_instant(stored.released_at) if stored.released_at is not None else None,
        "released_by": stored.released_by,
        "released_by_job_id": stored.released_by_job_id,
        "invoiced": invoiced,
        "invoice_number": stored.invoice_number,
        "invoice_date": stored.invoice_date.isoformat() if stored.invoice_date is not None else None,
        "document_id": stored.document_id,
        "summary_amount": format_amount(event.summary_amount, event.currency),
        "origin_id": event.origin_id,
        "root_id": event.root_id,
        "made_by_cap": event.made_by_cap,
        "on_hold": event.on_hold,
        "queued_by": event.queued_by,
        "conflict": stored.conflict,
        "category_mismatch": event.mismatched_item_ids[:DETAIL_IDS_MAX],
        "missing": list(stored.missing),
        "waits_for": [{"kind": source.kind, "id": source.source_id} for source in stored.waits_for],
        "filled": dict(event.filled),
        "left_out_criteria": dict(stored.left_out),
        "fields": event.fields,
        "items": [
            _item_body(
                item,
                event.currency,
                released=released,
                invoiced=invoiced,
                left_out=item.item_id in stored.left_out,
            )
            for item in event.items
        ],
    }


def is_invoiced(stored: StoredEvent) -> bool:
    """Whether a document bills the event; while a revert is under way, whether one did before."""
    return Stage.INVOICED in {
        stored.stage,
        stored.stage_before_revert if stored.stage is Stage.REVERTING else None,
    }


def _item_body(
    item: BillingEventItem, currency: str, *, released: bool, invoiced: bool, left_out: bool
) -> dict[str, Any]:
    description = item.accounting_line_description
    return {
        "item_id": item.item_id,
        "created_at": format_instant(item.created_at),
        "category": item.category,
        "business_record_id": item.business_record_id,
        "business_record_version": item.business_record_version,
        "date": item.date.isoformat() if item.date is not None else None,
        "description": item.description,
        "accounting_line_description": item.description if description is None else description,
        "quantity": format_number(item.quantity),
        "unit_price": format_number(item.unit_price),
        "amount": format_amount(item.amount, currency),
        "services_product": item.services_product,
        "services_product_from": item.services_product_from,
        "budget_id": item.budget_id,
        "released": released,
        "invoiced": invoiced and not left_out,
        "billed": released and not left_out,
        "left_out": left_out,
        "adjusts_item_id": item.adjusts_item_id,
        "category_mismatch": item.category_mismatch,
        "fields": item.fields,
    }


def reason_bodies(reasons: Iterable[Reason]) -> list[dict[str, Any]]:
    """Reasons as answers, facts and the history hold them.

    Sentences and lists that name thousands of items or events are cut to what a fact may hold.
    """
    return [
        {
            "code": reason.code,
            "message": _cut(reason.message),
            "detail": {name: _bounded(value) for name, value in reason.detail.items()},
        }
        for reason in reasons
    ]


def _cut(message: str) -> str:
    return message if len(message) <= MESSAGE_LENGTH_MAX else f"{message[: MESSAGE_LENGTH_MAX - 1]}…"


def _bounded(value: object) -> object:
    if not isinstance(value, list):
        return value
    return value[: DETAIL_OBJECTS_MAX if value and isinstance(value[0], dict) else DETAIL_IDS_MAX]
