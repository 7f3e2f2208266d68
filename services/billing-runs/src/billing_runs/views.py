"""The parts of other services' facts that this service reads; the rest may be anything.

Most facts concern no run: reading them whole would cost more than all else that is done with them.
"""

from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import BaseModel, Field, model_validator

from shared.contracts.base import (
    ITEMS_MAX,
    Code,
    CurrencyCode,
    Date,
    Id,
    Name,
    Reader,
    to_minor_units_in_list,
)
from shared.contracts.billing_event import Stage
from shared.contracts.catalogue import MessageType
from shared.contracts.decimals import Amount, TotalAmount
from shared.contracts.document import LINES_MAX, DocumentHead, DocumentStatus
from shared.contracts.psa import ItemCategory


class SeenItem(Reader):
    """What figures are made of."""

    category: ItemCategory
    amount: Amount
    services_product: Name | None = None


class SeenBillingEvent(Reader):
    """What selections and statistics need of a billing event."""

    billing_event_id: Id
    project_id: Id
    date: Date
    currency: CurrencyCode
    stage: Stage
    summary_amount: TotalAmount
    items: list[SeenItem] = Field(max_length=ITEMS_MAX)
    batch_id: Id | None = None
    account_id: Id | None = None
    missing: list[Code] = Field(default_factory=list, max_length=100)
    on_hold: bool = False

    @model_validator(mode="after")
    def _check_amounts(self) -> Self:
        to_minor_units_in_list(self.currency, self.items, "items")
        return self


class BillingEventSeen(Reader):
    """`registered`, `changed` and `released` facts; the last may name the job that released the event."""

    billing_event: SeenBillingEvent
    job_id: Id | None = None


class DocumentEnd(Reader):
    """What a document has become by being validated or cancelled; all else stays as it was drafted."""

    document_id: Id
    status: DocumentStatus
    billing_event_ids: list[Id] = Field(min_length=1, max_length=LINES_MAX)
    number: Name | None = None
    date: Date | None = None
    due_date: Date | None = None
    billing_run_id: Id | None = None


class DocumentOfNoRun(Reader):
    """A document that no run has made."""

    document_id: Id
    billing_run_id: None = None


EVENT_TYPES: Final = frozenset(
    {
        "release.billing-event.registered.v1",
        "release.billing-event.changed.v1",
        "release.billing-event.released.v1",
    }
)
DRAFTED: Final = "accounting.document.drafted.v1"
ENDS: Final = frozenset({"accounting.document.validated.v1", "accounting.document.cancelled.v1"})


def model_of(message_type: MessageType, body: Mapping[str, Any]) -> type[BaseModel]:
    """What a message is read with: the part that is needed of billing events and of documents."""
    if message_type.type in EVENT_TYPES:
        return BillingEventSeen
    if message_type.type == DRAFTED or message_type.type in ENDS:
        if body.get("billing_run_id") is None:
            return DocumentOfNoRun
        return DocumentHead if message_type.type == DRAFTED else DocumentEnd
    return message_type.body_model
