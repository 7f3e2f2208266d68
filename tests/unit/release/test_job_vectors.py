"""Release jobs as data: every row of tests/vectors/jobs.json (domain.md section 2)."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from release.domain.cap_state import BudgetCap, ProjectCap
from release.domain.events import BillingEvent
from release.domain.jobs import (
    Found,
    cut_into_chunks,
    decide_chunk,
    final_status,
    in_order_found,
    in_order_given,
)
from release.domain.reasons import codes_of
from release.domain.release import Outcome, Released, Split
from release.domain.settings import OnChunkFailure, ReleaseSettings
from release.domain.stages import Stage
from release.domain.tolerance import Tolerance
from shared.money import format_amount
from unit.release.builders import JOB, make_event, make_item, vector_cases
from unit.release.test_cap_vectors import described_split


def caps_of(case: dict[str, Any]) -> dict[str, ProjectCap]:
    caps = {}
    for project in case["projects"]:
        currency = project.get("currency", "GBP")
        budgets = {
            budget["budget_id"]: BudgetCap(
                budget["budget_id"],
                Decimal(budget["amount"]),
                budget["apply_billing_cap"],
                {currency: Decimal(budget["released"])},
                Tolerance(Decimal(budget["tolerance"])),
            )
            for budget in case.get("budgets", [])
            if budget["project_id"] == project["project_id"]
        }
        caps[project["project_id"]] = ProjectCap(
            project_id=project["project_id"],
            currency=currency,
            bookings=Decimal(project["bookings"]),
            apply_billing_cap=project["apply_billing_cap"],
            auto_cap_billing=project["auto_cap_billing"],
            bill_to_budget_cap=project["bill_to_budget_cap"],
            released={currency: Decimal(project["released"])},
            budgets=budgets,
        )
    return caps


def events_of(case: dict[str, Any]) -> dict[str, BillingEvent]:
    return {
        event["billing_event_id"]: make_event(
            *(
                make_item(
                    item["item_id"],
                    item["amount"],
                    item["budget_id"],
                    created_at=datetime.fromisoformat(item["created_at"]),
                )
                for item in event["items"]
            ),
            billing_event_id=event["billing_event_id"],
            project_id=event["project_id"],
            date=date.fromisoformat(event["date"]),
            batch_id=event["batch_id"],
            currency=event.get("currency", "GBP"),
            stage=Stage(event.get("stage", "awaiting_release")),
            on_hold=event.get("on_hold", False),
        )
        for event in case["events"]
    }


def selected(select: dict[str, Any], events: dict[str, BillingEvent]) -> list[str]:
    if "billing_event_ids" in select:
        return in_order_given(select["billing_event_ids"])
    wanted = select.get("filter", {})
    assert wanted.keys() <= {"project_id", "date_to"}
    return in_order_found(
        Found(event.billing_event_id, event.date)
        for event in events.values()
        if event.batch_id in select.get("batch_ids", [event.batch_id])
        and event.project_id == wanted.get("project_id", event.project_id)
        and event.date.isoformat() <= wanted.get("date_to", "9999-12-31")
    )


def described(outcome: Outcome, expected: dict[str, Any]) -> dict[str, Any]:
    if isinstance(outcome, Released):
        return {"outcome": "released"}
    if isinstance(outcome, Split):
        split = {**described_split(outcome), "new_billing_event_id": outcome.new_event.billing_event_id}
        return {"outcome": "split", **{key: value for key, value in split.items() if key in expected}}
    actual: dict[str, Any] = {"outcome": "refused", "codes": list(codes_of(outcome.reasons))}
    if "batch_failed" in actual["codes"]:
        actual["culprits"] = outcome.reasons[0].detail["culprits"]
    return actual


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in vector_cases("jobs")])
def test_job_is_decided_as_the_vector_says(case: dict[str, Any]) -> None:
    settings = ReleaseSettings(
        support_contact="support@example.com",
        release_batch_size=case["settings"]["release_batch_size"],
        disable_billing_closer_to_cap=case["settings"]["disable_billing_closer_to_cap"],
        on_chunk_failure=OnChunkFailure(case["settings"]["on_chunk_failure"]),
    )
    caps, events = caps_of(case), events_of(case)
    outcomes: dict[str, Outcome] = {}
    released = failed = 0

    for chunk in cut_into_chunks(selected(case["select"], events), settings):
        decision = decide_chunk(chunk, events, caps, JOB, settings, record_versions={}, taken_ids=frozenset())
        caps = dict(decision.caps)
        outcomes.update(decision.outcomes)
        released += decision.released
        failed += decision.failed

    expected = case["expect"]
    assert {
        key: described(outcome, expected["events"][key]) for key, outcome in outcomes.items()
    } == expected["events"]
    for project_id, project in expected["projects"].items():
        cap = caps[project_id]
        assert format_amount(cap.remaining, cap.currency) == project["remaining"]
    budgets = {key: (cap, budget) for cap in caps.values() for key, budget in cap.budgets.items()}
    for budget_id, budget in expected.get("budgets", {}).items():
        cap, held = budgets[budget_id]
        assert format_amount(held.released_in(cap.currency), cap.currency) == budget["released"]
    assert {"status": final_status(failed).value, "released": released, "failed": failed} == expected["job"]
