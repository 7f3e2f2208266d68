"""Facts of the release service: bodies of `release.events` (contract.md section 1)."""

from typing import Literal

from pydantic import Field

from shared.contracts.base import (
    ITEMS_MAX,
    MESSAGE_IDS_MAX,
    Count,
    CurrencyCode,
    Date,
    Description,
    Emails,
    Id,
    Instant,
    Name,
    Reader,
    Version,
)
from shared.contracts.billing_event import BillingEvent, WaitedFor
from shared.contracts.decimals import Amount, Percentage, Ratio, TotalAmount
from shared.contracts.facts import FIRST_MAX, BillingEventReasons, Fact, FactIds, PartedFact, Reasons
from shared.contracts.psa import BUDGETS_MAX, BusinessRecordKind

CapLevel = Literal["project", "budget"]
ReleaseJobStatus = Literal["queued", "running", "completed", "completed_with_errors", "stopped", "failed"]


class BillingEventRegistered(Fact):
    """`release.billing-event.registered.v1`: a billing event is known, complete or not."""

    billing_event: BillingEvent


class BillingEventChanged(Fact):
    """`release.billing-event.changed.v1`: the same after a fill, hold, recalculation or change by PSA."""

    billing_event: BillingEvent


class BudgetFigures(Reader):
    """A capped budget that a release was tested against, before and after it."""

    budget_id: Id
    amount: TotalAmount
    tolerance: TotalAmount
    released_before: TotalAmount
    released_after: TotalAmount


class Cap(Reader):
    """The cap that a release was tested against, before and after it (domain.md section 3).

    Bookings and remaining are the project's, at either level; `budgets` are the capped ones that the event uses.
    """

    level: CapLevel
    budget_id: Id | None = None
    bookings: TotalAmount
    remaining_before: TotalAmount
    remaining_after: TotalAmount
    budgets: list[BudgetFigures] = Field(default_factory=list, max_length=BUDGETS_MAX)


class BillingEventReleased(Fact):
    """`release.billing-event.released.v1`; `and_invoice` leaves the documents to the job's second stage.

    `warnings` say what a person should look at all the same: `amount_above_record`, and, where RECORD_GUARD only
    warns, `item_already_billed` and `record_already_billed` (domain.md section 2).
    """

    billing_event: BillingEvent
    released_at: Instant
    job_id: Id | None = None
    and_invoice: bool = False
    warnings: Reasons = Field(default_factory=list)
    cap: Cap | None = None


class BillingEventBilledAgain(Fact):
    """`release.billing-event.billed-again.v1`: what RECORD_GUARD would have refused was released with a warning."""

    billing_event_id: Id
    project_id: Id
    job_id: Id | None = None
    warnings: Reasons


class LeftOutMoved(Reader):
    """The answer of `POST /billing-events/{id}/move-left-out`: the new event, its items, and what the cap got back."""

    billing_event_id: Id
    new_billing_event_id: Id
    moved_item_ids: list[Id] = Field(max_length=ITEMS_MAX)
    amount: TotalAmount
    currency: CurrencyCode


class Adjustment(Reader):
    """A generated adjustment of an item's overage: its id, amount, budget, and the event it stands in."""

    item_id: Id
    amount: Amount
    budget_id: Id | None = None
    billing_event_id: Id
    adjusts_item_id: Id | None = None


class BillingEventSplit(PartedFact):
    """`release.billing-event.split.v1`: what was moved to a new billing event."""

    origin_id: Id
    new_id: Id
    root_id: Id
    released_item_ids: FactIds
    moved_item_ids: FactIds
    adjustments: list[Adjustment] = Field(default_factory=list, max_length=ITEMS_MAX)
    project_id: Id | None = None
    job_id: Id | None = None


class ReleaseResult(Reader):
    """What a release does, or in a preview would do: the answer of `POST /billing-events/{id}/release`."""

    billing_event_id: Id
    outcome: Literal["released", "split"]
    released_item_ids: list[Id] = Field(default_factory=list, max_length=ITEMS_MAX)
    moved_item_ids: list[Id] = Field(default_factory=list, max_length=ITEMS_MAX)
    adjustments: list[Adjustment] = Field(default_factory=list, max_length=ITEMS_MAX)
    new_billing_event_id: Id | None = None
    cap: Cap | None = None
    warnings: Reasons = Field(default_factory=list)


class BillingEventRefused(Fact):
    """`release.billing-event.refused.v1`: a command, a job or a change by PSA was refused."""

    billing_event_id: Id
    reasons: Reasons
    project_id: Id | None = None
    job_id: Id | None = None
    preview: ReleaseResult | None = None


class BillingEventFact(Fact):
    """A fact of one billing event; the project, which is the key, is not known of an event that is not."""

    billing_event_id: Id
    project_id: Id | None = None


class BillingEventDeleted(BillingEventFact):
    """`release.billing-event.deleted.v1`: PSA withdrew it."""

    version: Version | None = None


class BillingEventInvoiced(BillingEventFact, PartedFact):
    """`release.billing-event.invoiced.v1`: a validated document was written back, which leaves out these items."""

    document_id: Id
    invoice_number: Name
    invoice_date: Date
    left_out_item_ids: FactIds = Field(default_factory=list)


class LeftOutItem(Reader):
    """An item that a document leaves out, and the company's item criterion that it does not meet."""

    item_id: Id
    amount: Amount
    business_record_id: Id | None = None
    criterion: Description = ""


class BillingEventLeftOut(BillingEventFact, PartedFact):
    """`release.billing-event.left-out.v1`: items are left out of their event's document (documents.md section 3.5).

    `left_out` false: no longer, since the document was taken back or the items were moved (`moved_to`).
    """

    document_id: Id
    items: list[LeftOutItem] = Field(max_length=MESSAGE_IDS_MAX)
    left_out: bool
    moved_to: Id | None = None


class BillingEventReverted(BillingEventFact):
    """`release.billing-event.reverted.v1`: the release is undone, and its amount given back to the cap."""

    document_id: Id | None = None
    mirror_document_id: Id | None = None


class BillingEventClosed(BillingEventFact):
    """`release.billing-event.closed.v1`: cancelled for good in a billing run."""

    billing_run_id: Id | None = None


class BilledRecord(Reader):
    """Whether a business record is billed."""

    kind: BusinessRecordKind
    record_id: Id
    billed: bool


class BusinessRecordsBilled(BillingEventFact):
    """`release.business-records.billed.v1`: PSA marks them; with the invoice once there is one."""

    records: list[BilledRecord] = Field(max_length=ITEMS_MAX)
    document_id: Id | None = None
    invoice_number: Name | None = None
    invoice_date: Date | None = None


class CapThresholdCrossed(Fact):
    """`release.cap.threshold-crossed.v1`; `ratio` is released ÷ bookings, null where bookings are not above 0."""

    project_id: Id
    level: CapLevel
    bookings: TotalAmount
    released: TotalAmount
    alert_threshold: Percentage
    ratio: Ratio | None = None
    budget_id: Id | None = None
    currency: CurrencyCode | None = None
    alert_recipient: Emails | None = None


class CapConfigurationConflict(Fact):
    """`release.cap.configuration-conflict.v1`: a project is capped at both levels, or what stands released in a former
    currency of it keeps its cap from beginning anew (domain.md section 3).

    `budget_ids` are the capped ones where both levels are; `former_currencies` those in which more than 0 is released.
    """

    project_id: Id
    version: Version
    budget_ids: FactIds = Field(default_factory=list)
    former_currencies: list[CurrencyCode] = Field(default_factory=list, max_length=FIRST_MAX)


class ReleaseJobFailure(BillingEventReasons):
    """An event that a job did not release: a culprit, or a good one that a culprit's chunk held back.

    `can_be_split`: the quick action would offer to split it.
    """

    held_back: bool = False
    can_be_split: bool = False


class CategoryMismatch(Fact):
    """`release.billing-event.category-mismatch.v1`: items name records of another kind than their category.

    `item_ids` are the first of them, `items` is how many they are. Told once until the event is mended (domain.md
    section 1).
    """

    billing_event_id: Id
    project_id: Id
    item_ids: FactIds
    items: Count


class BillingEventWaits(Fact):
    """`release.billing-event.waits.v1`: an event is incomplete for more than `alert_days`; told once.

    `waits_for` are the first of what it waits for, `sources` is how many they are (domain.md section 1).
    """

    billing_event_id: Id
    project_id: Id
    incomplete_since: Instant
    alert_days: Count
    waits_for: list[WaitedFor] = Field(max_length=MESSAGE_IDS_MAX)
    sources: Count


class ReleaseJobFact(Fact):
    """`release.job.started.v1`, `.progressed.v1`, `.completed.v1`: a job's figures so far; the first failures.

    Every event that was selected is `released`, `failed`, `stopped` (it awaits release again) or `pending` (not decided
    yet; of a job that has completed: tried again until it succeeds or the job is stopped, and then told once more).
    `held_back` counts those of `failed` that are no culprits. `failures` has the culprits first.
    """

    job_id: Id
    status: ReleaseJobStatus
    and_invoice: bool = False
    process_run_id: Id | None = None
    selected: Count | None = None
    released: Count = 0
    failed: Count = 0
    held_back: Count = 0
    stopped: Count = 0
    pending: Count = 0
    failures: list[ReleaseJobFailure] = Field(default_factory=list, max_length=FIRST_MAX)
