"""Claims, unclaims, withdrawals and mirrors (domain.md sections 4 and 5)."""

from datetime import date
from decimal import Decimal
from typing import Any

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
    mirror_document,
)
from accounting_connector.domain.documents import DocumentStatus, assess, draft_document, validate_document
from accounting_connector.domain.eligibility import Terms
from accounting_connector.domain.lines import DocumentKind
from shared.money import exact_sum

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
def test_a_withdrawal_is_refused_while_claimed_or_where_others_share_the_document(
    status: DocumentStatus,
) -> None:
    claimed = decide_withdraw(holding("R-1", HeldDocument("D-1", status, 1)))
    shared = decide_withdraw(holding(None, HeldDocument("D-1", status, 2)))
    assert claimed.outcome is shared.outcome is None
    assert [reason.code for reason in claimed.reasons] == ["claimed_by_run"]
    assert [reason.code for reason in shared.reasons] == ["document_shared"]


@pytest.mark.parametrize("amount", ["100.00", "-100.00"])
def test_a_mirror_is_the_opposite_document_over_the_same_items(make: Any, amount: str) -> None:
    terms = Terms(asked_by_run="R-1")
    items = [make.item("i1", amount), make.item("i2", amount), make.item("i3", amount, category="expense")]
    company = make.company(item_criteria=(make.criterion('category != "expense"'),))
    assessment = assess(make.candidate(make.event(*items), company=company), terms)
    made = draft_document("D-1", [assessment], terms, invoice_date=None, collection_date=date(2026, 12, 1))
    original = validate_document(made, "X-2026-000001", date(2026, 11, 20))
    mirror = mirror_document(original, "D-2")
    assert {mirror.kind, original.kind} == set(DocumentKind)
    assert (mirror.status, mirror.number) == (DocumentStatus.DRAFT, "DRAFT-D-2")
    assert mirror.corrects_document_id == mirror.mirrors_document_id == "D-1"
    assert mirror.billing_run_id is None
    assert mirror.total_net == exact_sum(line.amount for line in mirror.lines) == Decimal(200)
    assert [line.billing_event_item_id for line in mirror.lines] == ["i1", "i2"]
    assert (len(original.left_out_items), mirror.left_out_items, mirror.excluded_items) == (1, (), ())
    assert {line.line_id for line in mirror.lines}.isdisjoint(line.line_id for line in original.lines)
    assert (mirror.taxes, mirror.total_gross) == (original.taxes, original.total_gross)
    validated = validate_document(mirror, "Y-2026-000001", date(2026, 11, 21))
    assert validated.due_date == date(2026, 12, 21)
    for refused in (made, validated):
        with pytest.raises(ValueError, match="cannot be mirrored"):
            mirror_document(refused, "D-3")
