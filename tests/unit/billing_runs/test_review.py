"""The review of documents: findings, verdicts, automatic actions (domain.md section 5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from billing_runs.domain.refusals import RefusalCode
from billing_runs.domain.review import (
    AutomaticAction,
    DocumentCounts,
    DocumentReview,
    RejectedBy,
    Review,
    ReviewAction,
    ReviewDecision,
    automatic_action,
    available_review_actions,
    cancelled,
    count_reviews,
    decide_review,
    rechecked,
    review_refusal_of,
    reviewed_by_rules,
    validated,
)
from billing_runs.domain.rules import FailStatus, Finding
from billing_runs.domain.settings import OnRejected, OnSuspect

ODD = Finding("ODD", FailStatus.SUSPECT, "odd amount")
WRONG = Finding("WRONG", FailStatus.REJECTED, "wrong customer")


def _decided(document: DocumentReview, action: ReviewAction, reason: str | None = None) -> ReviewDecision:
    decision = decide_review(document, action, disabled=False, quarantine_run=False, reason=reason)
    assert isinstance(decision, ReviewDecision)
    return decision


def test_worst_finding_wins_and_all_are_kept() -> None:
    assert reviewed_by_rules(()) == DocumentReview(Review.DRAFT)
    assert reviewed_by_rules((ODD,)) == DocumentReview(Review.SUSPECT, findings=(ODD,))
    assert reviewed_by_rules((ODD, WRONG)) == DocumentReview(
        Review.REJECTED, RejectedBy.RULE, "wrong customer", (ODD, WRONG)
    )


def test_accepting_overrides_the_findings_and_keeps_them() -> None:
    accepted = _decided(reviewed_by_rules((ODD, WRONG)), ReviewAction.ACCEPT).becomes

    assert (accepted.review, accepted.rejected_by, accepted.reason) == (Review.DRAFT, None, None)
    assert [(finding.rule, finding.overridden) for finding in accepted.findings] == [
        ("ODD", True),
        ("WRONG", True),
    ]


def test_rejecting_what_a_rule_rejected_makes_it_the_users_rejection() -> None:
    rejected = _decided(reviewed_by_rules((WRONG,)), ReviewAction.REJECT, "not ordered").becomes

    assert rejected == DocumentReview(Review.REJECTED, RejectedBy.USER, "not ordered", (WRONG,))


def test_users_rejection_stays_when_the_rules_no_longer_find_anything() -> None:
    rejected = DocumentReview(Review.REJECTED, RejectedBy.USER, "not ordered", (WRONG,))

    assert rechecked(rejected, ()) == DocumentReview(Review.REJECTED, RejectedBy.USER, "not ordered")


def test_recheck_judges_an_accepted_document_anew() -> None:
    accepted = _decided(reviewed_by_rules((WRONG,)), ReviewAction.ACCEPT).becomes

    assert rechecked(accepted, (WRONG,)) == reviewed_by_rules((WRONG,))


@pytest.mark.parametrize("review", [Review.VALIDATED, Review.CANCELLED])
def test_rules_do_not_touch_a_document_whose_review_has_ended(review: Review) -> None:
    assert rechecked(DocumentReview(review), (WRONG,)) == DocumentReview(review)


@pytest.mark.parametrize("ended, review", [(validated, Review.VALIDATED), (cancelled, Review.CANCELLED)])
def test_ended_review_has_no_rejection_and_keeps_its_findings(ended: object, review: Review) -> None:
    assert callable(ended)

    assert ended(reviewed_by_rules((WRONG,))) == DocumentReview(review, findings=(WRONG,))


def test_only_validate_and_cancel_are_queued() -> None:
    suspect = reviewed_by_rules((ODD,))

    queued = {action for action in ReviewAction if _decided(suspect, action).queued}

    assert queued == {ReviewAction.VALIDATE, ReviewAction.CANCEL}


@pytest.mark.parametrize(
    "on_rejected, on_suspect, of_rejected, of_suspect",
    [
        (OnRejected.MANUAL_ACTION, OnSuspect.MANUAL_ACTION, None, None),
        (OnRejected.MANUAL_ACTION, OnSuspect.AUTOMATIC_VALIDATION, None, None),
        (OnRejected.CANCEL, OnSuspect.MANUAL_ACTION, AutomaticAction.CANCEL, None),
        (OnRejected.MOVE, OnSuspect.AUTOMATIC_VALIDATION, AutomaticAction.MOVE, None),
        (OnRejected.MANUAL_ACTION, OnSuspect.CANCEL, None, AutomaticAction.CANCEL),
        (OnRejected.MANUAL_ACTION, OnSuspect.MOVE, None, AutomaticAction.MOVE),
    ],
)
def test_what_a_run_does_by_itself_with_rejected_and_suspect_documents(
    on_rejected: OnRejected,
    on_suspect: OnSuspect,
    of_rejected: AutomaticAction | None,
    of_suspect: AutomaticAction | None,
) -> None:
    def taken(findings: tuple[Finding, ...]) -> AutomaticAction | None:
        return automatic_action(reviewed_by_rules(findings), on_rejected=on_rejected, on_suspect=on_suspect)

    assert taken((WRONG,)) is of_rejected
    assert taken((ODD,)) is of_suspect
    assert taken(()) is None


def test_documents_are_counted_by_review_and_those_still_reviewed_are_live() -> None:
    counts = count_reviews([*Review, Review.DRAFT])

    assert counts == DocumentCounts(draft=2, suspect=1, rejected=1, validated=1, cancelled=1)
    assert counts.live == 4


FINDINGS = some.lists(some.sampled_from([ODD, WRONG]), max_size=3).map(tuple)


@given(
    begun=FINDINGS,
    actions=some.lists(some.tuples(some.sampled_from(ReviewAction), FINDINGS), max_size=12),
    disabled=some.booleans(),
    quarantine_run=some.booleans(),
)
def test_whatever_is_asked_a_document_offers_what_it_accepts_and_tells_who_rejected_it(
    begun: tuple[Finding, ...],
    actions: list[tuple[ReviewAction, tuple[Finding, ...]]],
    disabled: bool,
    quarantine_run: bool,
) -> None:
    document = reviewed_by_rules(begun)
    for action, findings in actions:
        offered = available_review_actions(document, disabled=disabled, quarantine_run=quarantine_run)
        refusal = review_refusal_of(document.review, action, disabled=disabled, quarantine_run=quarantine_run)
        decision = decide_review(
            document, action, disabled=disabled, quarantine_run=quarantine_run, reason="because"
        )
        assert (action in {each.action for each in offered}) is (refusal is None)
        assert isinstance(decision, RefusalCode) is (refusal is not None)
        if isinstance(decision, RefusalCode):
            continue
        before = document
        document = rechecked(decision.becomes, findings) if decision.runs_rules else decision.becomes
        assert (document.review is Review.REJECTED) is (document.rejected_by is not None)
        assert (document.rejected_by is None) is (document.reason is None)
        by_user = before.rejected_by is RejectedBy.USER
        if by_user and action not in {ReviewAction.ACCEPT, ReviewAction.CANCEL}:
            assert document.rejected_by is RejectedBy.USER
