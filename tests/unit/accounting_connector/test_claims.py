"""Claims, unclaims, withdrawals and mirrors (domain.md sections 4 and 5)."""

import pytest

from accounting_connector.domain.billing_events import Stage
from accounting_connector.domain.claims import (
    HeldDocument,
    Holding,
    Unclaim,
    WithdrawOutcome,
    decide_claim,
    decide_unclaim,
    decide_withdraw,
    live_document,
)
from accounting_connector.domain.documents import DocumentStatus

DRAFT = HeldDocument("D-1", DocumentStatus.DRAFT, 1)
VALIDATED = HeldDocument("D-1", DocumentStatus.VALIDATED, 1)
CANCELLED = HeldDocument("D-0", DocumentStatus.CANCELLED, 1)
MIRRORED = HeldDocument("D-0", DocumentStatus.VALIDATED, 1, is_mirrored=True)
MIRROR = HeldDocument("D-2", DocumentStatus.VALIDATED, 1, is_mirror=True)


def holding(run: str | None = None, *documents: HeldDocument, stage: Stage = Stage.RELEASED) -> Holding:
    return Holding("BE-1", stage, run, documents)


def test_live_is_draft_or_validated_no_mirror_and_not_taken_back() -> None:
    assert live_document([CANCELLED, MIRRORED, MIRROR]) is None
    assert live_document([CANCELLED, MIRRORED, MIRROR, DRAFT]) == DRAFT
    assert live_document([VALIDATED]) == VALIDATED


@pytest.mark.parametrize(
    "held, code",
    [
        (holding(), None),
        (holding("R-1"), None),
        (holding("R-1", DRAFT), None),
        (holding(None, CANCELLED, MIRRORED, MIRROR), None),
        (holding("R-2"), "claimed_by_run"),
        (holding("R-2", DRAFT), "claimed_by_run"),
        (holding(None, DRAFT), "already_invoiced"),
        (holding(None, VALIDATED), "already_invoiced"),
        (holding(stage=Stage.INVOICED), "already_invoiced"),
        (holding(stage=Stage.CLOSED), "closed"),
        (holding(stage=Stage.AWAITING_RELEASE), "not_released"),
        (holding(stage=Stage.REVERTING), "not_released"),
    ],
)
def test_a_run_claims_what_nobody_holds(held: Holding, code: str | None) -> None:
    decision = decide_claim("R-1", ["BE-1"], [held])
    if code is None:
        assert (decision.claimed, decision.refused) == (("BE-1",), ())
    else:
        assert decision.claimed == ()
        ((event_id, (reason,)),) = decision.refused
        assert (event_id, reason.code) == ("BE-1", code)


def test_claims_keep_the_order_asked_and_name_what_is_unknown() -> None:
    holdings = [Holding(name, Stage.RELEASED, None) for name in ("BE-1", "BE-2")]
    decision = decide_claim("R-1", ["BE-2", "BE-9", "BE-1", "BE-2"], holdings)
    assert decision.claimed == ("BE-2", "BE-1")
    assert [(event_id, reasons[0].code) for event_id, reasons in decision.refused] == [("BE-9", "not_found")]


@pytest.mark.parametrize(
    "held, close, outcome",
    [
        (holding("R-1"), False, Unclaim.REOPENED),
        (holding("R-1"), True, Unclaim.CLOSED),
        (holding("R-1", CANCELLED), False, Unclaim.REOPENED),
        (holding("R-1", DRAFT), True, Unclaim.CLOSED),
        (holding("R-2"), True, Unclaim.UNCHANGED),
        (holding(), True, Unclaim.UNCHANGED),
        (holding("R-1", VALIDATED), True, Unclaim.UNCHANGED),
    ],
)
def test_an_unclaim_lets_go_only_what_the_run_holds(held: Holding, close: bool, outcome: Unclaim) -> None:
    assert decide_unclaim("R-1", held, close=close) is outcome


@pytest.mark.parametrize(
    "held, outcome, document_id",
    [
        (holding(), WithdrawOutcome.NONE, None),
        (holding(None, CANCELLED, MIRRORED, MIRROR), WithdrawOutcome.NONE, None),
        (holding(None, DRAFT), WithdrawOutcome.CANCELLED, "D-1"),
        (holding(None, CANCELLED, VALIDATED), WithdrawOutcome.MIRRORED, "D-1"),
    ],
)
def test_a_withdrawal_takes_the_live_document_back(
    held: Holding, outcome: WithdrawOutcome, document_id: str | None
) -> None:
    decision = decide_withdraw(held)
    assert (decision.outcome, decision.document_id, decision.reasons) == (outcome, document_id, ())


@pytest.mark.parametrize("status", [DocumentStatus.DRAFT, DocumentStatus.VALIDATED])
def test_a_withdrawal_is_refused_while_claimed(status: DocumentStatus) -> None:
    claimed = decide_withdraw(holding("R-1", HeldDocument("D-1", status, 1)))
    assert claimed.outcome is None
    assert [reason.code for reason in claimed.reasons] == ["claimed_by_run"]


def test_a_shared_document_stands_in_the_way_only_while_it_is_a_draft() -> None:
    draft = decide_withdraw(holding(None, HeldDocument("D-1", DocumentStatus.DRAFT, 2)))
    assert (draft.outcome, [reason.code for reason in draft.reasons]) == (None, ["document_shared"])
    validated = decide_withdraw(holding(None, HeldDocument("D-1", DocumentStatus.VALIDATED, 2)))
    assert validated.outcome is WithdrawOutcome.MIRRORED
