"""How the release service speaks of releases, in facts and over HTTP (contract.md sections 1 and 2)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from release.domain.events import BillingEvent, RecordKey
from release.domain.explanation import Decision
from release.domain.release import Refused, Released, Split
from release.domain.split import Adjustment
from release.domain.threshold import ThresholdCrossing
from release.facts import reason_bodies
from release.store.events import StoredEvent
from shared.contracts.base import MESSAGE_IDS_MAX
from shared.money import format_amount, format_number

Starter = Mapping[str, Any]
Value = TypeVar("Value")


def cap_body(decision: Decision) -> dict[str, Any] | None:
    """The cap that a release was tested against, before and after it; None where none was tracked or used."""
    if decision.level is None:
        return None
    currency = decision.project_currency
    return {
        "level": decision.level.value,
        "bookings": format_amount(decision.bookings, currency),
        "remaining_before": format_amount(decision.remaining_before, currency),
        "remaining_after": format_amount(decision.remaining_after, currency),
        "budgets": [
            {
                "budget_id": budget.budget_id,
                "amount": format_amount(budget.amount, currency),
                "tolerance": format_amount(budget.tolerance.amount, currency),
                "released_before": format_amount(budget.released_before, currency),
                "released_after": format_amount(budget.released_after, currency),
            }
            for budget in decision.budgets
        ],
    }


def result_body(outcome: Released | Split) -> dict[str, Any]:
    """What a release did, or a preview would do: the answer of `POST /billing-events/{id}/release`."""
    split = outcome if isinstance(outcome, Split) else None
    return {
        "billing_event_id": outcome.event.billing_event_id,
        "outcome": "released" if split is None else "split",
        "released_item_ids": list(outcome.released_item_ids),
        "moved_item_ids": [] if split is None else list(split.moved_item_ids),
        "adjustments": [] if split is None else _adjustments(split.adjustments, split.event.currency),
        "new_billing_event_id": None if split is None else split.new_event.billing_event_id,
        "cap": cap_body(outcome.decision),
        "warnings": reason_bodies(outcome.warnings),
    }


def preview_body(refused: Refused) -> dict[str, Any] | None:
    """What a confirmed split would do; None where none is offered."""
    return None if refused.preview is None else result_body(refused.preview)


def released_body(
    billing_event: Mapping[str, Any],
    decision: Decision,
    *,
    job_id: str | None,
    and_invoice: bool,
    starter: Starter | None,
    warnings: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """`release.billing-event.released.v1`; `billing_event` is the event's body once it is released."""
    return {
        "billing_event": billing_event,
        "released_at": billing_event["released_at"],
        "job_id": job_id,
        "and_invoice": and_invoice,
        "warnings": list(warnings),
        "cap": cap_body(decision),
        "starter": starter,
    }


def split_bodies(split: Split, *, job_id: str | None, starter: Starter | None) -> Iterator[dict[str, Any]]:
    """`release.billing-event.split.v1`: several parts where there are more ids than a message's lists hold."""
    event, new_event = split.event, split.new_event
    adjustments = _adjustments(split.adjustments, event.currency)
    ids_max = max(len(split.released_item_ids), len(split.moved_item_ids), len(adjustments))
    parts = -(-ids_max // MESSAGE_IDS_MAX)
    for part in range(parts):
        start, end = part * MESSAGE_IDS_MAX, (part + 1) * MESSAGE_IDS_MAX
        yield {
            "origin_id": event.billing_event_id,
            "new_id": new_event.billing_event_id,
            "root_id": new_event.lineage_root_id,
            "project_id": event.project_id,
            "job_id": job_id,
            "released_item_ids": list(split.released_item_ids[start:end]),
            "moved_item_ids": list(split.moved_item_ids[start:end]),
            "adjustments": adjustments[start:end],
            "part": part + 1,
            "parts": parts,
            "starter": starter,
        }


def billed_body(
    event: BillingEvent, records: Sequence[RecordKey], *, billed: bool, starter: Starter | None
) -> dict[str, Any] | None:
    """`release.business-records.billed.v1` of these records of an event's items; None where there are none."""
    if not records:
        return None
    return {
        "billing_event_id": event.billing_event_id,
        "project_id": event.project_id,
        "records": [{"kind": key.kind, "record_id": key.record_id, "billed": billed} for key in records],
        "starter": starter,
    }


def invoiced_bodies(
    stored: StoredEvent, invoice: Mapping[str, Any], starter: Starter | None
) -> Iterator[dict[str, Any]]:
    """`release.billing-event.invoiced.v1`: several parts where more is left out than a message's lists hold."""
    item_ids = [item.item_id for item in stored.left_out_items]
    for part, parts, ids in _parts(item_ids):
        yield {
            "billing_event_id": stored.billing_event_id,
            "project_id": stored.event.project_id,
            **invoice,
            "left_out_item_ids": ids,
            "part": part,
            "parts": parts,
            "starter": starter,
        }


def left_out_bodies(
    stored: StoredEvent, *, left_out: bool, moved_to: str | None = None, starter: Starter | None
) -> Iterator[dict[str, Any]]:
    """`release.billing-event.left-out.v1` of what the event's document leaves out, or left out until now."""
    items = [
        {
            "item_id": item.item_id,
            "business_record_id": item.business_record_id,
            "amount": format_amount(item.amount, stored.event.currency),
            "criterion": stored.left_out[item.item_id],
        }
        for item in stored.left_out_items
    ]
    for part, parts, some in _parts(items):
        yield {
            "billing_event_id": stored.billing_event_id,
            "project_id": stored.event.project_id,
            "document_id": stored.document_id,
            "items": some,
            "left_out": left_out,
            "moved_to": moved_to,
            "part": part,
            "parts": parts,
            "starter": starter,
        }


def _parts(values: Sequence[Value]) -> Iterator[tuple[int, int, list[Value]]]:
    """A list in parts of what a message's lists hold, each with its number and how many there are; one if empty."""
    parts = max(1, -(-len(values) // MESSAGE_IDS_MAX))
    for part in range(parts):
        yield part + 1, parts, list(values[part * MESSAGE_IDS_MAX : (part + 1) * MESSAGE_IDS_MAX])


def crossing_body(crossing: ThresholdCrossing, starter: Starter | None) -> dict[str, Any]:
    """`release.cap.threshold-crossed.v1`."""
    currency = crossing.currency
    return {
        "project_id": crossing.project_id,
        "level": "project",
        "budget_id": None,
        "currency": currency,
        "bookings": format_amount(crossing.bookings, currency),
        "released": format_amount(crossing.released, currency),
        "ratio": None if crossing.ratio is None else format_number(crossing.ratio),
        "alert_threshold": format_number(crossing.alert_threshold),
        "alert_recipient": crossing.alert_recipient,
        "starter": starter,
    }


def _adjustments(adjustments: Iterable[Adjustment], currency: str) -> list[dict[str, Any]]:
    return [
        {
            "item_id": adjustment.item_id,
            "amount": format_amount(adjustment.amount, currency),
            "budget_id": adjustment.budget_id,
            "billing_event_id": adjustment.billing_event_id,
            "adjusts_item_id": adjustment.adjusts_item_id,
        }
        for adjustment in adjustments
    ]
