"""Facts of the billing-runs service: bodies of `billing-runs.events` (contract.md section 1)."""

from typing import Literal

from pydantic import Field

from shared.contracts.base import Code, Count, CurrencyCode, Date, Description, Id, Instant, Name, Reader
from shared.contracts.command_fields import FileFormat, ProcessType, RunKind
from shared.contracts.decimals import TotalAmount
from shared.contracts.facts import FIRST_MAX, Fact, LeftOutTotal, Reasons
from shared.contracts.selections import Review

FINDINGS_MAX = 1_000
CURRENCIES_MAX = 400

RunStatus = Literal[
    "new",
    "creating_invoice_lines",
    "open",
    "invoice_lines_created",
    "creating_invoices",
    "draft_invoices",
    "rejected",
    "validating",
    "validated",
    "cancelling",
    "cancelled",
]
Execution = Literal["idle", "queued", "running", "failed"]


class RunFact(Fact):
    """A billing run as it stands after the fact (domain.md section 5)."""

    run_id: Id
    status: RunStatus
    execution: Execution = "idle"
    disabled: bool = False
    kind: RunKind = "exceptional"
    process_type: ProcessType = "manual"
    description: Description = ""
    billing_cycle_id: Id | None = None
    invoice_date: Date | None = None
    collection_date: Date | None = None
    quarantine_run_id: Id | None = None
    quarantine_of: Id | None = None


class RunCreated(RunFact):
    """`billing-runs.run.created.v1`, also of a quarantine run."""


class RunChanged(RunFact):
    """`billing-runs.run.changed.v1`: it was disabled, enabled or described anew, which leaves its status alone."""


class RunStatusChanged(RunFact):
    """`billing-runs.run.status-changed.v1`, with the figures of its documents by review, their net totals, and
    what they leave out.

    `previous_status` is null where the run begins in this status, as a quarantine run does.
    """

    previous_status: RunStatus | None = None
    documents: dict[Code, Count] = Field(default_factory=dict)
    totals: dict[CurrencyCode, TotalAmount] = Field(default_factory=dict, max_length=CURRENCIES_MAX)
    left_out: dict[CurrencyCode, LeftOutTotal] = Field(default_factory=dict, max_length=CURRENCIES_MAX)
    reasons: Reasons = Field(default_factory=list)


class RunStepFact(RunFact):
    """`billing-runs.run.step-started.v1`, `.step-progressed.v1`, `.step-completed.v1`, `.step-failed.v1`."""

    execution_id: Id
    step: Code
    format: FileFormat | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None
    to_do: Count = 0
    done: Count = 0
    warnings: Count = 0
    errors: Count = 0
    first_reasons: Reasons = Field(default_factory=list, max_length=FIRST_MAX)


class RunCommandRefused(Fact):
    """`billing-runs.run.refused.v1`: a command, or for one document a review, that the run did not allow.

    `action` is the command's (`process`, `review`, …); `document_id` is set where one document refused a review.
    """

    run_id: Id
    action: Code
    reasons: Reasons
    document_id: Id | None = None


class Finding(Reader):
    """What one rule found on one document, and in which version of it; null: not known."""

    rule: Name
    outcome: Code
    message: Description = ""
    overridden: bool = False
    version: Count | None = None


class DocumentReviewed(Fact):
    """`billing-runs.document.reviewed.v1`: a document's review, and the run where it is now."""

    run_id: Id
    document_id: Id
    review: Review
    previous_review: Review | None = None
    action: Code | None = None
    reason: Description | None = None
    rejected_by: Literal["rule", "user"] | None = None
    quarantine_run_id: Id | None = None
    findings: list[Finding] = Field(default_factory=list, max_length=FINDINGS_MAX)
