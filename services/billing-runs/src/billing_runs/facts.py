"""How the billing-runs service speaks of runs and documents, in its facts (contract.md section 1)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from billing_runs.domain.executions import ExecutionStatus, Step
from billing_runs.domain.review import DocumentCounts, DocumentReview
from billing_runs.domain.scope import CycleScope
from billing_runs.store.executions import StoredExecution
from billing_runs.store.run_documents import finding_bodies
from billing_runs.store.runs import StoredRun
from shared.money import format_amount

RUN_CREATED = "billing-runs.run.created.v1"
RUN_CHANGED = "billing-runs.run.changed.v1"
RUN_STATUS_CHANGED = "billing-runs.run.status-changed.v1"
STEP_STARTED = "billing-runs.run.step-started.v1"
STEP_PROGRESSED = "billing-runs.run.step-progressed.v1"
STEP_COMPLETED = "billing-runs.run.step-completed.v1"
STEP_FAILED = "billing-runs.run.step-failed.v1"
DOCUMENT_REVIEWED = "billing-runs.document.reviewed.v1"
RUN_REFUSED = "billing-runs.run.refused.v1"

REFUSALS: Final[Mapping[str, str]] = {
    "run_disabled": "The billing run is disabled",
    "action_not_available": "The billing run or document does not allow this as it stands",
    "step_running": "A step of the billing run is under way",
    "second_person_needed": "Another user than the one who created the billing run must do this",
    "not_permitted": "The token does not permit this for the projects of the billing run or document",
    "already_exists": "There is another billing run with this id",
    "not_found": "There is no billing run or document with this id",
}
"""What the codes of refusals say in words."""


def format_instant(instant: datetime) -> str:
    """A moment as RFC 3339 in UTC: `2026-11-20T09:00:00Z`."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def run_body(run: StoredRun) -> dict[str, Any]:
    """A run as it stands, as every fact about it tells."""
    settings = run.settings
    scope = settings.scope
    return {
        "run_id": run.run_id,
        "status": run.state.status.value,
        "execution": run.state.execution.value,
        "disabled": run.state.disabled,
        "kind": settings.kind.value,
        "process_type": settings.process_type.value,
        "description": run.description,
        "billing_cycle_id": scope.billing_cycle_id if isinstance(scope, CycleScope) else None,
        "invoice_date": settings.invoice_date.isoformat() if settings.invoice_date else None,
        "collection_date": settings.collection_date.isoformat() if settings.collection_date else None,
        "quarantine_run_id": run.quarantine_run_id,
        "quarantine_of": run.quarantine_of,
        "starter": run.starter,
    }


def refused_body(
    run_id: str, action: str, code: str, *, document_id: str | None, starter: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A command, or one document of a review, that was refused."""
    reason = {"code": code, "message": REFUSALS.get(code, code), "detail": {}}
    return {
        "run_id": run_id,
        "action": action,
        "reasons": [reason],
        "document_id": document_id,
        "starter": starter,
    }


def status_body(
    run: StoredRun,
    previous_status: str | None,
    counts: DocumentCounts,
    totals: Mapping[str, Decimal],
    left_out: Mapping[str, tuple[int, Decimal]],
) -> dict[str, Any]:
    """A run whose status has changed: its documents by review; by currency their net totals and what they leave out.

    `previous_status` None: it was born in this status.
    """
    return {
        **run_body(run),
        "previous_status": previous_status,
        "documents": {
            "draft": counts.draft,
            "suspect": counts.suspect,
            "rejected": counts.rejected,
            "validated": counts.validated,
            "cancelled": counts.cancelled,
        },
        "totals": {currency: format_amount(total, currency) for currency, total in totals.items()},
        "left_out": {
            currency: {"items": items, "amount": format_amount(amount, currency)}
            for currency, (items, amount) in left_out.items()
        },
    }


def step_body(run: StoredRun, stored: StoredExecution, failure: str | None) -> dict[str, Any]:
    """A step as it stands; `failure` says why it was broken off."""
    execution = stored.execution
    return {
        **run_body(run),
        "starter": run.starter if run.starter is not None else stored.starter,
        "execution_id": execution.execution_id,
        "step": execution.step.value,
        "format": execution.step.value if execution.step in {Step.XML, Step.PDF} else None,
        "started_at": format_instant(execution.started_at) if execution.started_at else None,
        "ended_at": format_instant(execution.ended_at) if execution.ended_at else None,
        "to_do": execution.to_do,
        "done": execution.done,
        "warnings": execution.warnings,
        "errors": execution.errors,
        "first_reasons": [{"code": "step_failed", "message": failure}] if failure is not None else [],
    }


def step_fact(before: ExecutionStatus, after: ExecutionStatus) -> str | None:
    """The type of the fact that tells of a step's change from one status to another; None: nothing to tell."""
    if after is ExecutionStatus.QUEUED:
        return None
    if after is ExecutionStatus.RUNNING:
        return STEP_STARTED if before is ExecutionStatus.QUEUED else STEP_PROGRESSED
    if before is after:
        return None
    return STEP_FAILED if after is ExecutionStatus.FAILED else STEP_COMPLETED


def reviewed_body(
    run: StoredRun,
    document_id: str,
    before: DocumentReview | None,
    after: DocumentReview,
    *,
    action: str | None,
    quarantine_run_id: str | None = None,
    starter: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """A document's review; `before` None: it is new. `action` is what a user asked for or the run did by itself."""
    return {
        "run_id": run.run_id,
        "document_id": document_id,
        "review": after.review.value,
        "previous_review": before.review.value if before is not None else None,
        "action": action,
        "reason": after.reason,
        "rejected_by": after.rejected_by.value if after.rejected_by is not None else None,
        "quarantine_run_id": quarantine_run_id,
        "findings": finding_bodies(after.findings),
        "starter": starter if starter is not None else run.starter,
    }


def reason_bodies(reasons: Sequence[Any]) -> list[dict[str, Any]]:
    """Reasons of other services' facts, as they are kept."""
    return [{"code": each.code, "message": each.message, "detail": each.detail} for each in reasons]
