"""What commands and requests have in common, so that no field is written twice (contract.md sections 1 and 2).

A class ending in `Of` leaves open how long its selection's lists of ids may be: shorter in a message than in a
request.
"""

from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator

from shared.contracts.base import (
    ITEMS_MAX,
    Closed,
    CurrencyCode,
    Description,
    DocumentDate,
    Id,
    Name,
    check_unique,
    field_error,
    to_minor_units,
)
from shared.contracts.custom_fields import CustomFields
from shared.contracts.decimals import AmountNotNegative
from shared.contracts.selections import DocumentSelectOf, JobSelectOf, ProcessRunSelectOf, ScopeOf

OnCap = Literal["refuse", "split"]
JobMode = Literal["background", "auto"]
OnChunkFailure = Literal["fail", "isolate"]
"""What becomes of the good billing events of a chunk with a culprit: they fail with it, or are released."""

Grouping = Literal["billing_event", "account"]
ClaimEnd = Literal["reopen", "cancel"]
"""What becomes of the billing events that are let go: free again, or closed for good."""

FileFormat = Literal["xml", "pdf"]
RunKind = Literal["exceptional", "cycle"]
ProcessType = Literal["manual", "automatic", "full_automatic"]
OnRejected = Literal["manual_action", "cancel", "move"]
OnSuspect = Literal["automatic_validation", "manual_action", "cancel", "move"]
ReviewAction = Literal["validate", "accept", "reject", "quarantine", "cancel", "recheck"]

SelectT = TypeVar("SelectT", bound=JobSelectOf[Any])
ProcessRunSelectT = TypeVar("ProcessRunSelectT", bound=ProcessRunSelectOf[Any])
ScopeT = TypeVar("ScopeT", bound=ScopeOf[Any])
DocumentSelectT = TypeVar("DocumentSelectT", bound=DocumentSelectOf[Any])


class ReleaseFields(Closed):
    """How to release one billing event (domain.md section 3)."""

    on_cap: OnCap = "refuse"


class RevertFields(Closed):
    """How to revert a release (domain.md section 2)."""

    cascade: bool = False


class HoldFields(Closed):
    """Whether the billing event is held back."""

    on_hold: bool


class FilledItem(Closed):
    """The services product of one item."""

    item_id: Id
    services_product: Name = Field(min_length=1)


class FillFields(Closed):
    """What a user fills; only what is empty takes it (domain.md section 1).

    Of the custom `fields` only the one that the event's company names in place of the auto-pass flag.
    """

    account_id: Id | None = None
    company_id: Id | None = None
    billing_event_currency: CurrencyCode | None = None
    auto_pass_to_accounting: bool | None = None
    fields: CustomFields = Field(default_factory=dict)
    items: list[FilledItem] = Field(default_factory=list, max_length=ITEMS_MAX)

    @model_validator(mode="after")
    def _check_items(self) -> Self:
        check_unique([item.item_id for item in self.items], "items")
        return self


class ReleaseJobOf(Closed, Generic[SelectT]):
    """A release job (domain.md section 2); without `on_chunk_failure` the deployment's setting counts."""

    select: SelectT
    mode: JobMode = "background"
    and_invoice: bool = False
    on_chunk_failure: OnChunkFailure | None = None


class Threshold(Closed):
    """An invoice whose net total is below it is not made (domain.md section 5)."""

    amount: AmountNotNegative
    currency: CurrencyCode

    @model_validator(mode="after")
    def _check_amount(self) -> Self:
        to_minor_units(self.currency, self, "amount")
        return self


class ProcessRunOf(Closed, Generic[ProcessRunSelectT]):
    """A process run; `validate` false leaves its documents as drafts (domain.md section 4)."""

    select: ProcessRunSelectT
    validate_documents: bool = Field(default=True, alias="validate")
    billing_run_id: Id | None = None
    grouping: Grouping = "billing_event"
    invoice_date: DocumentDate | None = None
    collection_date: DocumentDate | None = None
    threshold: Threshold | None = None


class BillingRunSettings(Closed):
    """What a billing run does, fixed after its creation but for the description (domain.md section 5)."""

    kind: RunKind = "exceptional"
    process_type: ProcessType = "manual"
    invoice_date: DocumentDate | None = None
    collection_date: DocumentDate | None = None
    grouping: Grouping = "billing_event"
    skip_validation_rules: bool = False
    recompute_dates_at_validation: bool = False
    incremental: bool = False
    on_rejected: OnRejected = "manual_action"
    on_suspect: OnSuspect = "automatic_validation"
    release_first: bool = False
    threshold: Threshold | None = None
    description: Description | None = None


class BillingRunOf(BillingRunSettings, Generic[ScopeT]):
    """A billing run with its scope."""

    scope: ScopeT

    @model_validator(mode="after")
    def _scope_is_of_the_kind(self) -> Self:
        if (self.kind == "cycle") != (self.scope.billing_cycle_id is not None):
            raise field_error(
                ("kind",), "run_kind", "should be cycle exactly where the scope names a billing cycle"
            )
        return self


class RenderFields(Closed):
    """The file to make."""

    format: FileFormat


class ProcessFields(Closed):
    """The date of what is numbered by that, in place of the run's (domain.md section 5)."""

    invoice_date: DocumentDate | None = None


class CancelFields(Closed):
    """What becomes of the billing events of what is cancelled."""

    billing_events: ClaimEnd


class DescriptionFields(Closed):
    """A billing run's new description."""

    description: Description


class ReviewOf(Closed, Generic[DocumentSelectT]):
    """An action on some of a billing run's documents (domain.md section 5, Review)."""

    action: ReviewAction
    select: DocumentSelectT
    reason: Description | None = None
    billing_events: ClaimEnd | None = None
    invoice_date: DocumentDate | None = None

    @model_validator(mode="after")
    def _action_has_what_it_takes(self) -> Self:
        if self.action == "cancel" and self.billing_events is None:
            raise field_error(("billing_events",), "missing", "should be given with the action cancel")
        if self.action != "validate" and self.invoice_date is not None:
            raise field_error(("invoice_date",), "not_used", "should be given with the action validate only")
        if self.action == "reject" and not (self.reason or "").strip():
            raise field_error(("reason",), "missing", "should be given with the action reject")
        return self
