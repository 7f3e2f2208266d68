"""What facts of several services have in common (contract.md section 1)."""

from typing import Annotated

from pydantic import Field

from shared.contracts.base import (
    MESSAGE_IDS_MAX,
    Code,
    Count,
    Description,
    Id,
    Instant,
    Part,
    Reader,
    Starter,
)
from shared.contracts.custom_fields import CustomFields
from shared.contracts.decimals import TotalAmount

REASONS_MAX = 1_000
FIRST_MAX = 100
"""Most entries of a list that shows only the first ones."""


class Reason(Reader):
    """Why something was refused: a code of domain.md, a sentence, and the numbers behind it."""

    code: Code
    message: Description = ""
    detail: CustomFields | None = None


Reasons = Annotated[list[Reason], Field(max_length=REASONS_MAX)]
FactIds = Annotated[list[Id], Field(max_length=MESSAGE_IDS_MAX)]


class Fact(Reader):
    """What every fact may carry: who began it."""

    starter: Starter | None = None


class PartedFact(Fact):
    """A fact whose lists of ids may be divided over several messages."""

    part: Part = 1
    parts: Part = 1


class ReconciliationCheck(Reader):
    """One check of a reconciliation, and the first differences that it found (domain.md section 6)."""

    check: Code
    balanced: bool
    differences: list[CustomFields] = Field(default_factory=list, max_length=FIRST_MAX)


class ReconciliationDifferenceFound(Fact):
    """`<service>.reconciliation.difference-found.v1`: the books of a service do not balance."""

    reconciliation_id: Id
    time: Instant
    checks: list[ReconciliationCheck] = Field(min_length=1, max_length=FIRST_MAX)


class WorkPending(Fact):
    """`<service>.work.pending.v1`: something failed by our own fault; it is tried again until it succeeds or is ended.

    `kind` and `id` say what (`process_run` PR-1), `reason` in words why, `since` when it first failed. Told once for
    each, when it begins to be pending (domain.md section 4, "Process run").
    """

    kind: Code
    id: Id
    reason: Description
    since: Instant


class WorkRecovered(Fact):
    """`<service>.work.recovered.v1`: nothing of what was told as pending is so any more: done, refused, or given up."""

    kind: Code
    id: Id
    since: Instant


class LeftOutTotal(Reader):
    """The items of one currency that were left out of documents, and what they come to (domain.md section 4)."""

    items: Count
    amount: TotalAmount


class BillingEventReasons(Reader):
    """A billing event that was not taken, and why."""

    billing_event_id: Id
    reasons: Reasons = Field(default_factory=list)
