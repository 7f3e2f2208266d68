"""The review of a run's documents: what state each is in, and what users, rules and the run make of it.

domain.md section 5, *Review*. The accounting connector owns the document; its review belongs to the run.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from billing_runs.domain.indicators import Indicator
from billing_runs.domain.refusals import RefusalCode
from billing_runs.domain.rules import FailStatus, Finding, worst_finding
from billing_runs.domain.settings import OnRejected, OnSuspect


class Review(StrEnum):
    """Where a document is in its review; `suspect` does not block, `rejected` does."""

    DRAFT = "draft"
    SUSPECT = "suspect"
    REJECTED = "rejected"
    VALIDATED = "validated"
    CANCELLED = "cancelled"


class RejectedBy(StrEnum):
    """Who rejected a document; a user's rejection is sticky: no rule takes it back."""

    RULE = "rule"
    USER = "user"


class ReviewAction(StrEnum):
    """What a user can ask for a document of a run."""

    VALIDATE = "validate"
    ACCEPT = "accept"
    REJECT = "reject"
    QUARANTINE = "quarantine"
    CANCEL = "cancel"
    RECHECK = "recheck"


class AutomaticAction(StrEnum):
    """What a run does with a document by itself, when its drafts are made. A cancel of this kind reopens the
    events.
    """

    CANCEL = "cancel"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class DocumentReview:
    """A document's review; `rejected_by` and `reason` are given exactly where it is rejected."""

    review: Review
    rejected_by: RejectedBy | None = None
    reason: str | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """What an accepted action makes of a document.

    `becomes` is its review once the action is done. `queued`: the accounting connector has the last word, and
    the action waits for a running step. `moved`: it goes to the quarantine run. `runs_rules`: the rules are
    run, and `rechecked` says what the document becomes by their findings.
    """

    becomes: DocumentReview
    queued: bool = False
    moved: bool = False
    runs_rules: bool = False


@dataclass(frozen=True, slots=True)
class AvailableReviewAction:
    """An action that would be accepted for a document, the review that it leads to (None: the rules will say), and what
    its button shows of its last execution.
    """

    action: ReviewAction
    leads_to: Review | None
    indicator: Indicator | None = None


@dataclass(frozen=True, slots=True)
class DocumentCounts:
    """How many documents of a run are in each review."""

    draft: int = 0
    suspect: int = 0
    rejected: int = 0
    validated: int = 0
    cancelled: int = 0

    @property
    def live(self) -> int:
        """Documents whose review has not ended."""
        return self.draft + self.suspect + self.rejected


_ALLOWED: Final[Mapping[Review, frozenset[ReviewAction]]] = {
    Review.DRAFT: frozenset(ReviewAction) - {ReviewAction.ACCEPT},
    Review.SUSPECT: frozenset(ReviewAction),
    Review.REJECTED: frozenset(ReviewAction) - {ReviewAction.VALIDATE},
    Review.VALIDATED: frozenset(),
    Review.CANCELLED: frozenset(),
}
"""Which actions a document's review allows."""


def count_reviews(reviews: Iterable[Review]) -> DocumentCounts:
    """Count documents by review."""
    counted = Counter(reviews)
    return DocumentCounts(
        draft=counted[Review.DRAFT],
        suspect=counted[Review.SUSPECT],
        rejected=counted[Review.REJECTED],
        validated=counted[Review.VALIDATED],
        cancelled=counted[Review.CANCELLED],
    )


def review_refusal_of(
    review: Review, action: ReviewAction, *, disabled: bool, quarantine_run: bool
) -> RefusalCode | None:
    """Why the action on a document is refused, or None; a disabled run refuses only to validate."""
    if disabled and action is ReviewAction.VALIDATE:
        return RefusalCode.RUN_DISABLED
    if action not in _ALLOWED[review] or (quarantine_run and action is ReviewAction.QUARANTINE):
        return RefusalCode.ACTION_NOT_AVAILABLE
    return None


def decide_review(
    document: DocumentReview,
    action: ReviewAction,
    *,
    disabled: bool,
    quarantine_run: bool,
    reason: str | None,
) -> ReviewDecision | RefusalCode:
    """What the action makes of the document, or the code that refuses it (domain.md section 5).

    `reason` belongs to *reject*; the others leave it aside.
    """
    refusal = review_refusal_of(document.review, action, disabled=disabled, quarantine_run=quarantine_run)
    if refusal is not None:
        return refusal
    match action:
        case ReviewAction.VALIDATE:
            decision = ReviewDecision(validated(document), queued=True)
        case ReviewAction.CANCEL:
            decision = ReviewDecision(cancelled(document), queued=True)
        case ReviewAction.ACCEPT:
            decision = ReviewDecision(_accepted(document))
        case ReviewAction.REJECT:
            decision = ReviewDecision(_rejected_by_user(document, reason))
        case ReviewAction.QUARANTINE:
            decision = ReviewDecision(document, moved=True)
        case ReviewAction.RECHECK:
            decision = ReviewDecision(document, runs_rules=True)
    return decision


def available_review_actions(
    document: DocumentReview,
    *,
    disabled: bool,
    quarantine_run: bool,
    under_way: ReviewAction | None = None,
    is_refused: bool = False,
) -> tuple[AvailableReviewAction, ...]:
    """Every action that would be accepted for the document, with the review it leads to and its indicator.

    `under_way` is the queued action that has no answer yet: nothing but the same can be asked meanwhile. `is_refused`:
    the last validation of the document was refused.
    """
    available = []
    for action in ReviewAction if under_way is None else (under_way,):
        decision = decide_review(
            document, action, disabled=disabled, quarantine_run=quarantine_run, reason=None
        )
        if isinstance(decision, RefusalCode):
            continue
        by_the_rules = decision.runs_rules and document.rejected_by is not RejectedBy.USER
        leads_to = None if by_the_rules else decision.becomes.review
        indicator = None
        if action is under_way:
            indicator = Indicator.RUNNING
        elif action is ReviewAction.VALIDATE and is_refused:
            indicator = Indicator.WARNING
        available.append(AvailableReviewAction(action, leads_to, indicator))
    return tuple(available)


def reviewed_by_rules(findings: tuple[Finding, ...]) -> DocumentReview:
    """The review of a new draft by what the rules found: the worst finding wins."""
    worst = worst_finding(findings)
    if worst is None:
        return DocumentReview(Review.DRAFT, findings=findings)
    if worst.outcome is FailStatus.SUSPECT:
        return DocumentReview(Review.SUSPECT, findings=findings)
    return DocumentReview(Review.REJECTED, RejectedBy.RULE, worst.message, findings)


def rechecked(document: DocumentReview, findings: tuple[Finding, ...]) -> DocumentReview:
    """The document after its rules were run again: by the new findings, but a user's rejection stays.

    One whose review has ended in the meantime stays as it is.
    """
    if document.review in {Review.VALIDATED, Review.CANCELLED}:
        return document
    if document.rejected_by is RejectedBy.USER:
        return replace(document, findings=findings)
    return reviewed_by_rules(findings)


def validated(document: DocumentReview) -> DocumentReview:
    """The review of a document that was numbered; its findings are kept."""
    return replace(document, review=Review.VALIDATED, rejected_by=None, reason=None)


def cancelled(document: DocumentReview) -> DocumentReview:
    """The review of a document that was cancelled; its findings are kept."""
    return replace(document, review=Review.CANCELLED, rejected_by=None, reason=None)


def automatic_action(
    document: DocumentReview, *, on_rejected: OnRejected, on_suspect: OnSuspect
) -> AutomaticAction | None:
    """What the run does by itself with a document that the rules have just judged, or None (domain.md section
    5).
    """
    match (document.review, on_rejected, on_suspect):
        case (Review.REJECTED, OnRejected.CANCEL, _) | (Review.SUSPECT, _, OnSuspect.CANCEL):
            return AutomaticAction.CANCEL
        case (Review.REJECTED, OnRejected.MOVE, _) | (Review.SUSPECT, _, OnSuspect.MOVE):
            return AutomaticAction.MOVE
        case _:
            return None


def _accepted(document: DocumentReview) -> DocumentReview:
    overridden = tuple(replace(finding, overridden=True) for finding in document.findings)
    return DocumentReview(Review.DRAFT, findings=overridden)


def _rejected_by_user(document: DocumentReview, reason: str | None) -> DocumentReview:
    return replace(document, review=Review.REJECTED, rejected_by=RejectedBy.USER, reason=reason)
