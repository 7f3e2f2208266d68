"""What a command or a request selects: ids, batches, a filter, what is eligible, a cycle (contract.md section 2).

There is one selection for messages, whose lists of ids are bounded to 1,000, and one for requests, where a list may
be longer.
"""

from typing import Annotated, ClassVar, Final, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from shared.contracts.base import (
    Closed,
    CurrencyCode,
    Date,
    Id,
    Instant,
    MessageIds,
    Name,
    RequestIds,
    field_error,
)
from shared.contracts.billing_event import Stage
from shared.contracts.decimals import Amount

IdsT = TypeVar("IdsT", bound=list[str])

DocumentKind = Literal["sales_invoice", "sales_credit_note"]
Review = Literal["draft", "suspect", "rejected", "validated", "cancelled"]


EXCLUDED_IDS_MAX: Final = 1_000
"""Most ids that a selection may leave out."""


class OneOf(Closed):
    """A selection: exactly one of its ways is given; `beside` names the fields that are no way, but go with one."""

    beside: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _exactly_one_way(self) -> Self:
        if len(self.ways_given()) != 1:
            raise PydanticCustomError(
                "selection", "should have exactly one of {ways}", {"ways": ", ".join(self.ways())}
            )
        return self

    @classmethod
    def ways(cls) -> tuple[str, ...]:
        """The names of the fields of which exactly one is given."""
        return tuple(name for name in cls.model_fields if name not in cls.beside)

    def ways_given(self) -> tuple[str, ...]:
        """Those of them that are."""
        return tuple(way for way in self.ways() if getattr(self, way) is not None)


class BillingEventFilter(Closed):
    """Billing events that match all that is given; `date_from` and `date_to` are included."""

    project_id: Id | None = None
    account_id: Id | None = None
    currency: CurrencyCode | None = None
    batch_id: Id | None = None
    date_from: Date | None = None
    date_to: Date | None = None


class StagedFilter(BillingEventFilter):
    """The same, of one stage, as lists of billing events take it: `awaiting_release` holds what is `queued`, too.

    A billing run's scope names none: what it releases first would leave it.
    """

    stage: Stage | None = None


class SelectOf(OneOf, Generic[IdsT]):
    """Billing events by their ids, by their batches, or by a filter.

    What batches and filters find can be narrowed: `as_of` leaves out what was registered, or last changed in amount,
    after it; `exclude_ids` what is named.
    """

    beside: ClassVar[frozenset[str]] = frozenset({"as_of", "exclude_ids"})

    billing_event_ids: IdsT | None = None
    batch_ids: IdsT | None = None
    filter: BillingEventFilter | None = None
    as_of: Instant | None = None
    exclude_ids: Annotated[list[Id], Field(max_length=EXCLUDED_IDS_MAX)] | None = None

    @model_validator(mode="after")
    def _only_what_is_found_is_narrowed(self) -> Self:
        for name in ("as_of", "exclude_ids"):
            if getattr(self, name) is not None and self.batch_ids is None and self.filter is None:
                raise field_error((name,), "narrowed", "should be given with batch_ids or filter only")
        return self


class JobSelectOf(SelectOf[IdsT], Generic[IdsT]):
    """The same, or exactly what a dry run found releasable."""

    beside: ClassVar[frozenset[str]] = SelectOf.beside | {"result"}

    filter: StagedFilter | None = None
    dry_run_id: Id | None = None
    result: Literal["would_release"] | None = None

    @model_validator(mode="after")
    def _result_goes_with_the_dry_run(self) -> Self:
        if (self.dry_run_id is None) != (self.result is None):
            raise field_error(("result",), "dry_run", "should be given exactly where dry_run_id is")
        return self


class Select(JobSelectOf[MessageIds]):
    """The selection of a release job in a message."""


class RequestSelect(JobSelectOf[RequestIds]):
    """The selection of a release job in a request."""


class ProcessRunSelectOf(SelectOf[IdsT], Generic[IdsT]):
    """The same, or every billing event that is eligible for a document."""

    filter: StagedFilter | None = None
    eligible: Literal[True] | None = None


class ProcessRunSelect(ProcessRunSelectOf[MessageIds]):
    """The selection of a process run in a message."""


class RequestProcessRunSelect(ProcessRunSelectOf[RequestIds]):
    """The selection of a process run in a request."""


class ScopeOf(SelectOf[IdsT], Generic[IdsT]):
    """A billing run's scope: a selection, or a cycle's accounts with date_from ≤ date < last_transaction_date."""

    beside: ClassVar[frozenset[str]] = SelectOf.beside | {"date_from", "last_transaction_date"}

    billing_cycle_id: Id | None = None
    date_from: Date | None = None
    last_transaction_date: Date | None = None

    @model_validator(mode="after")
    def _dates_go_with_the_cycle(self) -> Self:
        for name in ("date_from", "last_transaction_date"):
            if (getattr(self, name) is None) != (self.billing_cycle_id is None):
                raise field_error((name,), "scope_dates", "should be given exactly where billing_cycle_id is")
        if self.date_from and self.last_transaction_date and self.date_from >= self.last_transaction_date:
            raise field_error(("last_transaction_date",), "scope_dates", "should be later than date_from")
        return self


class Scope(ScopeOf[MessageIds]):
    """The scope of a billing run in a message."""


class RequestScope(ScopeOf[RequestIds]):
    """The scope of a billing run in a request."""


class DocumentFilter(Closed):
    """A run's documents that match all that is given; the bounds are included."""

    review: Review | None = None
    kind: DocumentKind | None = None
    account_id: Id | None = None
    company_id: Id | None = None
    currency: CurrencyCode | None = None
    number: Name | None = None
    date_from: Date | None = None
    date_to: Date | None = None
    amount_min: Amount | None = None
    amount_max: Amount | None = None
    rule: Name | None = None


class DocumentSelectOf(OneOf, Generic[IdsT]):
    """A billing run's documents by their ids or by a filter."""

    document_ids: IdsT | None = None
    filter: DocumentFilter | None = None


class DocumentSelect(DocumentSelectOf[MessageIds]):
    """The documents of a review in a message."""


class RequestDocumentSelect(DocumentSelectOf[RequestIds]):
    """The documents of a review in a request."""
