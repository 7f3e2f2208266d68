"""Who holds a billing event: claims, live documents, withdrawals (domain.md sections 4 and 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from accounting_connector.domain.billing_events import Stage
from accounting_connector.domain.documents import DocumentStatus
from accounting_connector.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class HeldDocument:
    """What is known of one document of an event where it matters who holds the event."""

    document_id: str
    status: DocumentStatus
    event_count: int
    """Billing events that the document holds."""
    is_mirror: bool = False
    is_mirrored: bool = False
    """Whether a validated mirror has taken it back."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Who holds an event: the billing run that has claimed it, and its documents."""

    billing_event_id: str
    stage: Stage
    claimed_by_run: str | None
    documents: Sequence[HeldDocument] = ()


@dataclass(frozen=True, slots=True)
class ClaimDecision:
    """The events that the run has from now on (those from before too), and the refused ones, with reasons."""

    claimed: tuple[str, ...]
    refused: tuple[tuple[str, tuple[Reason, ...]], ...]


class Unclaim(StrEnum):
    """What becomes of an event that a run lets go."""

    REOPENED = "reopened"
    CLOSED = "closed"
    UNCHANGED = "unchanged"
    """It was not this run's any more: nothing to let go."""


class WithdrawOutcome(StrEnum):
    """What withdrawing an event from the books comes to."""

    NONE = "none"
    CANCELLED = "cancelled"
    MIRRORED = "mirrored"
    ALREADY_CORRECTED = "already_corrected"
    """Corrections have taken all of it: no mirror."""
    KEPT = "kept"
    """A correction of what is withdrawn with it: with the mirror they add up to the original."""


@dataclass(frozen=True, slots=True)
class WithdrawDecision:
    """`outcome` with the document that it concerns; None with the reasons: refused."""

    outcome: WithdrawOutcome | None
    document_id: str | None = None
    reasons: tuple[Reason, ...] = ()


def live_document(documents: Sequence[HeldDocument]) -> HeldDocument | None:
    """The one live document of an event, if any: draft or validated, not a mirror and not taken back."""
    for document in documents:
        if (
            document.status is not DocumentStatus.CANCELLED
            and not document.is_mirror
            and not document.is_mirrored
        ):
            return document
    return None


def decide_claim(billing_run_id: str, asked_ids: Sequence[str], holdings: Sequence[Holding]) -> ClaimDecision:
    """Which of the asked events the run gets; in the order asked, each once.

    Refused: what is not known (`not_found`), `not_released`, `already_invoiced` (also with a live
    document outside this run), `claimed_by_run` (another run), `closed`. Asked again, a run keeps what it
    has.
    """
    known = {holding.billing_event_id: holding for holding in holdings}
    claimed: list[str] = []
    refused: list[tuple[str, tuple[Reason, ...]]] = []
    for event_id in dict.fromkeys(asked_ids):
        holding = known.get(event_id)
        reason = _not_found(event_id) if holding is None else _claim_refusal(billing_run_id, holding)
        if reason is None:
            claimed.append(event_id)
        else:
            refused.append((event_id, (reason,)))
    return ClaimDecision(tuple(claimed), tuple(refused))


def decide_unclaim(billing_run_id: str, holding: Holding, *, close: bool) -> Unclaim:
    """What an unclaim of this run does to the event: free again (reopen), or closed for good (cancel).

    An event that the run does not hold, or that has been validated meanwhile, stays as it is.
    """
    document = live_document(holding.documents)
    is_validated = document is not None and document.status is DocumentStatus.VALIDATED
    if holding.claimed_by_run != billing_run_id or is_validated:
        return Unclaim.UNCHANGED
    return Unclaim.CLOSED if close else Unclaim.REOPENED


def decide_withdraw(holding: Holding) -> WithdrawDecision:
    """What a revert does to the event's document (domain.md section 4, "Withdraw").

    No live document: `none`; a draft is cancelled; of a validated one the event's lines are mirrored, as far as they
    are left. Refused while a billing run has claimed the event (`claimed_by_run`), or when its draft holds other events
    too (`document_shared`). Whatever the outcome but a refusal, the caller bars the event from new documents.
    """
    if holding.claimed_by_run is not None:
        return WithdrawDecision(None, reasons=(_claimed_by(holding.claimed_by_run),))
    document = live_document(holding.documents)
    if document is None:
        return WithdrawDecision(WithdrawOutcome.NONE)
    is_draft = document.status is DocumentStatus.DRAFT
    if is_draft and document.event_count > 1:
        others = document.event_count - 1
        reason = Reason(
            "document_shared",
            f"Draft {document.document_id} holds other billing events too: {others}",
            {"document_id": document.document_id, "events": document.event_count},
        )
        return WithdrawDecision(None, document.document_id, (reason,))
    outcome = WithdrawOutcome.CANCELLED if is_draft else WithdrawOutcome.MIRRORED
    return WithdrawDecision(outcome, document.document_id)


def _claim_refusal(billing_run_id: str, holding: Holding) -> Reason | None:
    document = live_document(holding.documents)
    if holding.stage is Stage.CLOSED:
        return Reason("closed", "The billing event was cancelled for good in a billing run")
    if holding.claimed_by_run == billing_run_id:
        return None
    if holding.claimed_by_run is not None:
        return _claimed_by(holding.claimed_by_run)
    if holding.stage is Stage.INVOICED or document is not None:
        detail = {} if document is None else {"document_id": document.document_id}
        return Reason("already_invoiced", "The billing event has a document already", detail)
    if holding.stage is not Stage.RELEASED:
        return Reason(
            "not_released", f"The billing event is {holding.stage.value}", {"stage": holding.stage.value}
        )
    return None


def _claimed_by(billing_run_id: str) -> Reason:
    message = f"Billing run {billing_run_id} has claimed the billing event"
    return Reason("claimed_by_run", message, {"billing_run_id": billing_run_id})


def _not_found(billing_event_id: str) -> Reason:
    return Reason("not_found", f"Billing event {billing_event_id} is not known")
