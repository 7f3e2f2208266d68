"""How the accounting connector speaks: documents, process runs and reasons, in facts and over HTTP (contract.md)."""

import datetime
from collections.abc import Mapping
from typing import Any

from accounting_connector.domain.documents import Document, DocumentLine
from accounting_connector.domain.process_runs import Tally
from accounting_connector.store.documents import StoredDocument
from accounting_connector.store.parties import party_body
from accounting_connector.store.process_runs import ProcessRun
from accounting_connector.store.reason_bodies import reason_bodies
from shared.contracts.document import CRITERIA_LENGTH_MAX, CRITERION_LENGTH_MAX
from shared.money import format_amount, format_number


def format_instant(instant: datetime.datetime) -> str:
    """A moment as RFC 3339 in UTC: `2026-11-20T09:00:00Z`."""
    return instant.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def format_day(day: datetime.date | None) -> str | None:
    """A day as `2026-11-20`."""
    return None if day is None else day.isoformat()


def document_body(stored: StoredDocument, *, job_id: str | None = None) -> dict[str, Any]:
    """The document of contract.md section 1, whole, as facts carry it; `job_id` is the step that asked for the fact."""
    document = stored.document
    currency = document.currency
    return {
        **document_head(stored),
        "job_id": job_id,
        "lines": [_line_body(line, currency) for line in document.lines],
        "taxes": [
            {
                "category": total.category,
                "rate": format_number(total.rate),
                "taxable": format_amount(total.taxable, currency),
                "tax": format_amount(total.tax, currency),
                "reason": total.reason,
                "reason_code": total.reason_code,
            }
            for total in document.taxes
        ],
    }


def document_head(stored: StoredDocument) -> dict[str, Any]:
    """The document without its lines and taxes."""
    document = stored.document
    currency = document.currency
    return {
        "document_id": document.document_id,
        "kind": document.kind.value,
        "status": document.status.value,
        "number": document.number,
        "date": format_day(document.date),
        "due_date": format_day(document.due_date),
        "currency": currency,
        "billing_event_currency": document.billing_event_currency,
        "account": party_body(document.account),
        "company": party_body(document.company),
        "engagement": document.engagement,
        "customer_reference": document.customer_reference,
        "billing_event_ids": list(document.billing_event_ids),
        "billing_run_id": document.billing_run_id,
        "process_run_id": stored.process_run_id,
        "total_net": format_amount(document.total_net, currency),
        "total_tax": format_amount(document.total_tax, currency),
        "total_gross": format_amount(document.total_gross, currency),
        "excluded_items": list(document.excluded_items),
        "left_out_items": _left_out_bodies(document),
        "warnings": reason_bodies(document.warnings),
        "corrects_document_id": document.corrects_document_id,
        "supplements_document_id": document.supplements_document_id,
        "mirrors_document_id": document.mirrors_document_id,
        "additional_fields": dict(document.additional_fields),
        "starter": stored.starter,
    }


def _left_out_bodies(document: Document) -> list[dict[str, Any]]:
    """The items that a document leaves out; of long criteria, or where there are thousands, their beginning."""
    items = document.left_out_items
    length_max = min(CRITERION_LENGTH_MAX, CRITERIA_LENGTH_MAX // max(len(items), 1))
    return [
        {
            "billing_event_id": item.billing_event_id,
            "item_id": item.item_id,
            "business_record_id": item.business_record_id,
            "amount": format_amount(item.amount, document.currency),
            "criterion": item.criterion[:length_max],
        }
        for item in items
    ]


def _line_body(line: DocumentLine, currency: str) -> dict[str, Any]:
    return {
        "line_id": line.line_id,
        "billing_event_id": line.billing_event_id,
        "billing_event_item_id": line.billing_event_item_id,
        "description": line.description,
        "product": line.product,
        "quantity": format_number(line.quantity),
        "unit_price": format_number(line.unit_price),
        "amount": format_amount(line.amount, currency),
        "tax_category": line.tax_category,
        "tax_rate": format_number(line.tax_rate),
        "additional_fields": dict(line.additional_fields),
    }


def document_details(stored: StoredDocument, rendering: Mapping[str, str]) -> dict[str, Any]:
    """What the answers of the API hold beside a document's body or head; `rendering` by the format of the file."""
    document: Document = stored.document
    return {
        "collection_date": format_day(document.collection_date),
        "payment_days": document.payment_days,
        "rendering": rendering,
        "created_at": format_instant(stored.created_at) if stored.created_at is not None else None,
    }


def process_run_body(run: ProcessRun) -> dict[str, Any]:
    """The body of a process run's facts: its figures so far; totals are net (contract.md section 1)."""
    return {
        "process_run_id": run.process_run_id,
        "kind": run.kind.value,
        "name": run.name,
        "status": run.status.value,
        "job_id": run.job_id,
        "extended": run.extended,
        "billing_run_id": run.billing_run_id,
        "invoices": run.tally.invoices,
        "credit_notes": run.tally.credit_notes,
        "not_passed": run.tally.not_passed,
        "already_done": run.tally.already_done,
        "warnings": run.tally.warnings,
        "pending": run.tally.pending,
        "at_once": run.at_once,
        "totals": totals_body(run.tally),
        "left_out": {
            currency: {"items": total.items, "amount": format_amount(total.amount, currency)}
            for currency, total in run.tally.left_out.items()
        },
        "first_reasons": [
            {"billing_event_id": entry.billing_event_id, "reasons": reason_bodies(entry.reasons)}
            for entry in run.tally.first_reasons
        ],
        "additional_recipients": list(run.additional_recipients),
        "starter": run.starter,
    }


def totals_body(tally: Tally) -> dict[str, Mapping[str, str]]:
    """Net totals by currency."""
    return {
        currency: {
            "invoices": format_amount(total.invoices, currency),
            "credit_notes": format_amount(total.credit_notes, currency),
        }
        for currency, total in tally.totals.items()
    }
