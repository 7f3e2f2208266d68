"""Cap and split decisions as data: every row of tests/vectors/caps.json (domain.md section 3)."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from release.domain.cap_state import BudgetCap, ProjectCap
from release.domain.reasons import codes_of
from release.domain.release import Outcome, Refused, Released, Split
from release.domain.settings import Channel, OnCap, ReleaseRequest, ReleaseSettings
from release.domain.tolerance import Tolerance, tolerance_of
from shared.money import format_amount
from unit.release.builders import decide, make_event, make_item, vector_cases


def tolerance_in(case: dict[str, Any], budget: dict[str, Any], currency: str) -> Tolerance:
    if budget["tolerance"] is not None:
        return Tolerance(Decimal(budget["tolerance"]))
    account = case["account_tolerance"]
    rates = {
        (pair.split("-")[0], pair.split("-")[1]): Decimal(rate)
        for pair, rate in case["exchange_rates"].items()
    }
    return tolerance_of((Decimal(account["amount"]), account["currency"]), currency, rates)


def cap_of(case: dict[str, Any]) -> ProjectCap:
    project = case["project"]
    currency = project.get("currency", "GBP")
    return ProjectCap(
        project_id="P-1",
        currency=currency,
        bookings=Decimal(project["bookings"] or "0"),
        apply_billing_cap=project["apply_billing_cap"],
        auto_cap_billing=project["auto_cap_billing"],
        bill_to_budget_cap=project["bill_to_budget_cap"],
        released={currency: Decimal(project["released"])},
        budgets={
            budget["budget_id"]: BudgetCap(
                budget["budget_id"],
                Decimal(budget["amount"]),
                budget["apply_billing_cap"],
                {currency: Decimal(budget["released"])},
                tolerance_in(case, budget, currency),
            )
            for budget in case["budgets"]
        },
    )


def decided(case: dict[str, Any], cap: ProjectCap) -> Outcome:
    items = [
        make_item(
            item["item_id"],
            item["amount"],
            item["budget_id"],
            created_at=datetime.fromisoformat(item["created_at"]),
        )
        for item in case["items"]
    ]
    event = make_event(
        *items, currency=case.get("event_currency", cap.currency), on_hold=case.get("on_hold", False)
    )
    request = ReleaseRequest(Channel(case["channel"]), OnCap(case["on_cap"]))
    settings = ReleaseSettings(
        support_contact="support@example.com",
        release_batch_size=case["settings"]["release_batch_size"],
        disable_billing_closer_to_cap=case["settings"]["disable_billing_closer_to_cap"],
    )
    return decide(event, cap, request, settings)


def described(outcome: Outcome, before: ProjectCap) -> dict[str, Any]:
    """The outcome in the words of the vectors."""
    if isinstance(outcome, Released):
        return {"outcome": "released", "remaining": format_amount(outcome.cap.remaining, before.currency)}
    if isinstance(outcome, Split):
        return {"outcome": "split", **described_split(outcome)}
    refused: dict[str, Any] = {"outcome": "refused", "codes": list(codes_of(outcome.reasons))}
    if outcome.preview is not None:
        refused["preview"] = described_split(outcome.preview)
    return refused


def described_split(split: Split) -> dict[str, Any]:
    currency = split.cap.currency
    halves = [
        (half.budget_id, format_amount(half.amount, currency), half.billing_event_id)
        for half in split.adjustments
    ]
    assert {holder for _, _, holder in halves[::2]} <= {split.event.billing_event_id}
    assert {holder for _, _, holder in halves[1::2]} <= {split.new_event.billing_event_id}
    return {
        "released": list(split.released_item_ids),
        "moved": list(split.moved_item_ids),
        "adjustments": [
            {"budget_id": budget_id, "in_origin": in_origin, "in_new": in_new}
            for (budget_id, in_origin, _), (_, in_new, _) in zip(halves[::2], halves[1::2], strict=True)
        ],
        "remaining": format_amount(split.cap.remaining, currency),
    }


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in vector_cases("caps")])
def test_cap_decision_is_as_the_vector_says(case: dict[str, Any]) -> None:
    cap = cap_of(case)
    expected = dict(case["expect"])
    expected_budgets = expected.pop("budgets", {})
    expected_tolerances = expected.pop("tolerances", {})

    outcome = decided(case, cap)

    actual = described(outcome, cap)
    if "remaining" not in expected:
        actual.pop("remaining", None)
    assert actual == expected
    after = cap if isinstance(outcome, Refused) else outcome.cap
    for budget_id, budget in expected_budgets.items():
        assert (
            format_amount(after.budgets[budget_id].released_in(cap.currency), cap.currency)
            == budget["released"]
        )
    for budget_id, tolerance in expected_tolerances.items():
        assert format_amount(cap.budgets[budget_id].tolerance.amount, cap.currency) == tolerance
