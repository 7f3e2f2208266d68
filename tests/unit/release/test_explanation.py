"""Every decision is explainable: the numbers, the rule and the order are kept (domain.md section 3)."""

import json
from decimal import Decimal

import pytest

from release.domain.cap_state import BudgetCap
from release.domain.explanation import Decision, Level, Rule, decision_document
from release.domain.release import Outcome
from release.domain.tolerance import tolerance_of
from unit.release.builders import (
    ASKED,
    CONFIRMED,
    JOB,
    SETTINGS,
    decide,
    make_budget,
    make_cap,
    make_event,
    make_item,
)


def decision_of(outcome: Outcome) -> Decision:
    assert outcome.decision is not None
    return outcome.decision


def test_a_first_fit_split_says_what_was_left_before_each_item() -> None:
    event = make_event(make_item("i1", "100"), make_item("i2", "250"), make_item("i3", "150"))
    document = decision_document(decision_of(decide(event, make_cap("300", "0"))))
    assert document == {
        "rule": "first_fit",
        "level": "project",
        "order": "created_at, item_id",
        "currency": "GBP",
        "summary_amount": "500.00",
        "bookings": "300.00",
        "remaining_before": "300.00",
        "remaining_after": "50.00",
        "budgets": [],
        "items": [
            {"item_id": "i1", "amount": "100.00", "budget_id": None, "left_before": "300.00",
             "outcome": "released", "overage": None},
            {"item_id": "i2", "amount": "250.00", "budget_id": None, "left_before": "200.00",
             "outcome": "moved", "overage": None},
            {"item_id": "i3", "amount": "150.00", "budget_id": None, "left_before": "200.00",
             "outcome": "released", "overage": None},
        ],
    }  # fmt: skip


def test_billing_to_a_budget_says_its_numbers_its_rate_and_the_overage() -> None:
    tolerance = tolerance_of((Decimal("1.00"), "EUR"), "GBP", {("EUR", "GBP"): Decimal("0.855")})
    budget = BudgetCap("b1", Decimal(100), True, {"GBP": Decimal(20)}, tolerance)
    event = make_event(make_item("i1", "90", "b1"), make_item("i2", "5"))
    document = decision_document(decision_of(decide(event, make_cap("0", "0", budget, enforced=False))))
    assert document["rule"] == "bill_to_budget_cap"
    assert document["level"] == "budget"
    assert document["budgets"] == [
        {
            "budget_id": "b1",
            "amount": "100.00",
            "tolerance": "0.86",
            "tolerance_rate": "0.855",
            "tolerance_note": "1.00 EUR at EUR-GBP 0.855",
            "asked": "90.00",
            "over": True,
            "released_before": "20.00",
            "released_after": "100.00",
        }
    ]
    assert [item["overage"] for item in json.loads(json.dumps(document))["items"]] == ["10.00", None]
    assert [item["left_before"] for item in json.loads(json.dumps(document))["items"]] == ["80.00", None]


def test_a_missing_rate_is_said_in_the_decision() -> None:
    tolerance = tolerance_of((Decimal("1.00"), "GBP"), "EUR", {("EUR", "GBP"): Decimal("0.85")})
    assert (tolerance.amount, tolerance.rate) == (Decimal(0), None)
    assert tolerance.note == "no exchange rate from GBP to EUR: no tolerance"


def test_an_account_without_tolerance_has_none() -> None:
    assert tolerance_of(None, "EUR", {}).amount == 0


@pytest.mark.parametrize(
    ("amounts", "enforced", "rule", "level", "after"),
    [
        (("300",), True, Rule.FITS_REMAINING, Level.PROJECT, 0),
        (("-20",), True, Rule.CREDIT_ALWAYS_FITS, Level.PROJECT, 320),
        (("0",), True, Rule.CREDIT_ALWAYS_FITS, Level.PROJECT, 300),
        (("400",), False, Rule.NOT_ENFORCED, None, -100),
    ],
)
def test_a_release_as_a_whole_says_its_rule(
    amounts: tuple[str, ...], enforced: bool, rule: Rule, level: Level | None, after: int
) -> None:
    event = make_event(*(make_item(f"i{number}", amount) for number, amount in enumerate(amounts)))
    decision = decision_of(decide(event, make_cap("300", "0", enforced=enforced)))
    assert (decision.rule, decision.level, decision.remaining_before, decision.remaining_after) == (
        rule,
        level,
        Decimal(300),
        Decimal(after),
    )


def test_a_refusal_says_its_rule_and_changes_no_number() -> None:
    event = make_event(make_item("i1", "200"), make_item("i2", "200"))
    for request, rule in ((JOB, Rule.JOB_DOES_NOT_SPLIT), (ASKED, Rule.FIRST_FIT)):
        decision = decision_of(decide(event, make_cap("300", "0"), request))
        assert (decision.rule, decision.remaining_before, decision.remaining_after) == (
            rule,
            Decimal(300),
            Decimal(300),
        )


def test_within_its_budget_the_level_is_the_budgets() -> None:
    cap = make_cap("0", "0", make_budget("b1", "100", "40"), enforced=False)
    decision = decision_of(decide(make_event(make_item("i1", "60", "b1")), cap, CONFIRMED, SETTINGS))
    assert (decision.rule, decision.level) == (Rule.WITHIN_BUDGETS, Level.BUDGET)
    assert [(budget.asked, budget.over, budget.released_after) for budget in decision.budgets] == [
        (Decimal(60), False, Decimal(100))
    ]
