"""Undoing releases: which events, and what the ledger gives back (domain.md section 2, Revert)."""

from dataclasses import replace
from decimal import Decimal

import pytest

from release.domain.ledger import book_revert
from release.domain.reasons import codes_of
from release.domain.release import Split
from release.domain.revert import LineageMember, RevertPlan, plan_revert
from release.domain.stages import Stage
from unit.release.builders import decide, make_budget, make_cap, make_event, make_item


def lineage(**stages: Stage) -> dict[str, LineageMember]:
    """BE-1, split into BE-1.2, split into BE-1.3; BE-1.2 was split once more into BE-1.4."""
    origins = {"BE-1": None, "BE-1.2": "BE-1", "BE-1.3": "BE-1.2", "BE-1.4": "BE-1.2"}
    names = {"BE-1": "root", "BE-1.2": "second", "BE-1.3": "third", "BE-1.4": "fourth"}
    return {
        key: LineageMember(stages.get(names[key], Stage.RELEASED), origin) for key, origin in origins.items()
    }


def test_alone_it_lists_what_stays() -> None:
    plan = plan_revert("BE-1.2", lineage(fourth=Stage.AWAITING_RELEASE), cascade=False)
    assert plan == RevertPlan(("BE-1.2",), (), ("BE-1.3", "BE-1.4"))


def test_with_cascade_what_splits_made_goes_too() -> None:
    plan = plan_revert("BE-1", lineage(third=Stage.INVOICED, fourth=Stage.QUEUED), cascade=True)
    assert plan == RevertPlan(("BE-1", "BE-1.2", "BE-1.3"), ("BE-1.4",), ())


def test_what_is_gone_already_is_left_aside() -> None:
    members = lineage(second=Stage.REVERTED, third=Stage.DELETED, fourth=Stage.CLOSED)
    assert plan_revert("BE-1", members, cascade=True) == RevertPlan(("BE-1", "BE-1.4"), (), ())


def test_a_cascade_is_all_or_nothing() -> None:
    refused = plan_revert("BE-1", lineage(third=Stage.REVERTING), cascade=True)
    assert not isinstance(refused, RevertPlan)
    assert codes_of(refused) == ("reverting",)


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        (Stage.INCOMPLETE, "not_released"),
        (Stage.AWAITING_RELEASE, "not_released"),
        (Stage.QUEUED, "not_released"),
        (Stage.REVERTING, "reverting"),
        (Stage.REVERTED, "reverted"),
        (Stage.DELETED, "deleted"),
    ],
)
def test_only_a_released_event_is_reverted(stage: Stage, code: str) -> None:
    refused = plan_revert("BE-1", lineage(root=stage), cascade=False)
    assert not isinstance(refused, RevertPlan)
    assert codes_of(refused) == (code,)


def test_an_unknown_event_is_not_found() -> None:
    refused = plan_revert("BE-9", lineage(), cascade=False)
    assert not isinstance(refused, RevertPlan)
    assert codes_of(refused) == ("not_found",)


def test_a_revert_gives_back_exactly_what_the_release_took() -> None:
    cap = make_cap("0", "5", make_budget("b1", "100", "7"), enforced=False)
    outcome = decide(make_event(make_item("i1", "150", "b1"), make_item("i2", "30")), cap)
    assert isinstance(outcome, Split)
    booking = book_revert(outcome.event, outcome.cap)
    assert [(entry.budget_id, entry.amount) for entry in booking.entries] == [
        (None, Decimal(-123)),
        ("b1", Decimal(-93)),
    ]
    assert booking.cap == cap


def test_what_a_removed_budget_holds_is_given_back_too() -> None:
    removed = replace(make_budget("b1", "100", "7"), removed=True)
    booking = book_revert(make_event(make_item("i1", "5", "b1")), make_cap("0", "5", removed))
    assert booking.cap.budgets["b1"] == replace(removed, released={"GBP": Decimal(2)})
