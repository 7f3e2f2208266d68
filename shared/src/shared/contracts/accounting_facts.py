"""Facts of the accounting connector: bodies of `accounting.events` (contract.md section 1)."""

from typing import Literal

from pydantic import Field

from shared.contracts.base import Code, Count, CurrencyCode, Email, Id, Name, Reader, Version
from shared.contracts.command_fields import ClaimEnd, FileFormat
from shared.contracts.decimals import TotalAmount
from shared.contracts.facts import (
    FIRST_MAX,
    BillingEventReasons,
    Fact,
    FactIds,
    LeftOutTotal,
    PartedFact,
    Reasons,
)

RECIPIENTS_MAX = 1_000
CURRENCIES_MAX = 400

ProcessRunStatus = Literal["in_progress", "completed", "completed_with_errors", "failed"]
WithdrawOutcome = Literal["none", "cancelled", "mirrored", "already_corrected", "kept"]


class DocumentFact(Fact):
    """A fact of one document, for the run and the step that asked for it."""

    document_id: Id
    billing_run_id: Id | None = None
    job_id: Id | None = None


class DocumentRendered(DocumentFact):
    """`accounting.document.rendered.v1`: a file is ready."""

    format: FileFormat
    size_bytes: Count
    sha256: Name
    reasons: Reasons = Field(default_factory=list)


class DocumentRenderFailed(DocumentFact):
    """`accounting.document.render-failed.v1`: a file could not be made."""

    format: FileFormat
    reasons: Reasons


class DocumentRefused(DocumentFact):
    """`accounting.document.refused.v1`: an action on a document was refused."""

    action: Code
    reasons: Reasons


class BillingEventNotPassed(Fact):
    """`accounting.billing-event.not-passed.v1`: no document was made of a billing event."""

    billing_event_id: Id
    process_run_id: Id
    reasons: Reasons
    billing_run_id: Id | None = None


class BillingEventsClaimed(PartedFact):
    """`accounting.billing-events.claimed.v1`: what a billing run holds now, and what it could not have."""

    billing_run_id: Id
    claimed: FactIds = Field(default_factory=list)
    refused: list[BillingEventReasons] = Field(default_factory=list, max_length=1_000)


class BillingEventsUnclaimed(PartedFact):
    """`accounting.billing-events.unclaimed.v1`: what a billing run has let go."""

    billing_run_id: Id
    billing_events: ClaimEnd
    unclaimed: FactIds = Field(default_factory=list)
    refused: list[BillingEventReasons] = Field(default_factory=list, max_length=1_000)


class BillingEventWithdrawn(Fact):
    """`accounting.billing-event.withdrawn.v1`: what became of its document, for a revert."""

    billing_event_id: Id
    outcome: WithdrawOutcome
    document_id: Id | None = None
    mirror_document_id: Id | None = None


class BillingEventWithdrawRefused(Fact):
    """`accounting.billing-event.withdraw-refused.v1`: the release cannot be undone."""

    billing_event_id: Id
    reasons: Reasons


class CompanySettingsChanged(Fact):
    """`accounting.company.settings-changed.v1`: what others must know of a company's settings, in a newer version.

    `auto_pass_field`: the custom field of events that passes them by itself in place of the flag (domain.md section 4).
    """

    company_id: Id
    version: Version
    auto_pass_field: Name | None = None


class ProcessRunTotals(Reader):
    """Net totals of one currency."""

    invoices: TotalAmount
    credit_notes: TotalAmount


class ProcessRunFact(Fact):
    """`accounting.process-run.started.v1`, `.progressed.v1`, `.completed.v1`: a process run's figures so far.

    `warnings`: events that were passed, with what to look at; `left_out` by currency. `at_once`: a
    single event was passed at once, which is told without a mail (domain.md section 4). `pending`: so many
    events failed by our own fault and are tried again; once there are none left, the end is told once more.
    `extended`: so often it got more events after its end, since a release job released them later.
    """

    process_run_id: Id
    kind: Code
    status: ProcessRunStatus
    name: Name = ""
    job_id: Id | None = None
    extended: Count = 0
    billing_run_id: Id | None = None
    invoices: Count = 0
    credit_notes: Count = 0
    not_passed: Count = 0
    already_done: Count = 0
    warnings: Count = 0
    pending: Count = 0
    at_once: bool = False
    totals: dict[CurrencyCode, ProcessRunTotals] = Field(default_factory=dict, max_length=CURRENCIES_MAX)
    left_out: dict[CurrencyCode, LeftOutTotal] = Field(default_factory=dict, max_length=CURRENCIES_MAX)
    first_reasons: list[BillingEventReasons] = Field(default_factory=list, max_length=FIRST_MAX)
    additional_recipients: list[Email] = Field(default_factory=list, max_length=RECIPIENTS_MAX)
