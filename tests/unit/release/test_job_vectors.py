"""Release jobs as data: every row of tests/vectors/jobs.json (domain.md section 2)."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from release.domain.billed import Billed
from release.domain.cap_state import BudgetCap, ProjectCap
from release.domain.events import BillingEvent
from release.domain.jobs import (
    Found,
    JobStatus,
    cut_into_chunks,
    decide_chunk,
    final_status,
    in_order_found,
    in_order_given,
    narrowed,
)
from release.domain.reasons import codes_of
from release.domain.release import Outcome, Refused, Released, Split
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
    found = [
        Found(event.billing_event_id, event.date)
        for event in events.values()
        if event.batch_id in select.get("batch_ids", [event.batch_id])
        and event.project_id == wanted.get("project_id", event.project_id)
        and event.date.isoformat() <= wanted.get("date_to", "9999-12-31")
    ]
    return in_order_found(narrowed(found, select.get("exclude_ids", ())))


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


def settings_of(case: dict[str, Any], on_chunk_failure: str | None) -> ReleaseSettings:
    given = case["settings"]
    return ReleaseSettings(
        support_contact="support@example.com",
        release_batch_size=given["release_batch_size"],
        disable_billing_closer_to_cap=given["disable_billing_closer_to_cap"],
        on_chunk_failure=OnChunkFailure(on_chunk_failure or given["on_chunk_failure"]),
    )


class WorkedJob:
    """A job of a case, worked to its end or until it is stopped."""

    def __init__(self, case: dict[str, Any], selection: list[str], on_chunk_failure: str | None) -> None:
        self.settings = settings_of(case, on_chunk_failure)
        self.caps, self.events = caps_of(case), events_of(case)
        self.outcomes: dict[str, Outcome] = {}
        self.held_back: list[str] = []
        self.can_be_split: list[str] = []
        chunks = list(cut_into_chunks(selection, self.settings))
        worked = chunks[: case.get("stop_after_chunks")]
        for chunk in worked:
            self._work(chunk)
        released = sum(not isinstance(outcome, Refused) for outcome in self.outcomes.values())
        failed = len(self.outcomes) - released
        was_stopped = len(worked) < len(chunks)
        self.figures = {
            "status": JobStatus.STOPPED if was_stopped else final_status(failed=failed),
            "released": released,
            "failed": failed,
            "held_back": len(self.held_back),
            "stopped": len(selection) - len(self.outcomes),
            "pending": 0,
        }

    def _work(self, chunk: Sequence[str]) -> None:
        decision = decide_chunk(
            chunk,
            self.events,
            self.caps,
            JOB,
            self.settings,
            billed=Billed(),
            record_versions={},
            taken_ids=frozenset(),
        )
        self.caps = dict(decision.caps)
        self.outcomes.update(decision.outcomes)
        self.held_back += decision.held_back
        self.can_be_split += [each for each in chunk if each in decision.splittable]

    @property
    def releasable(self) -> list[str]:
        return [key for key, outcome in self.outcomes.items() if not isinstance(outcome, Refused)]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in vector_cases("jobs")])
def test_job_is_decided_as_the_vector_says(case: dict[str, Any]) -> None:
    if (dry_run := case.get("dry_run")) is None:
        selection = selected(case["select"], events_of(case))
    else:
        dry = WorkedJob(case, selected(dry_run["select"], events_of(case)), dry_run.get("on_chunk_failure"))
        selection = dry.releasable
    job = WorkedJob(case, selection, case.get("on_chunk_failure"))

    expected = case["expect"]
    assert {
        key: described(outcome, expected["events"][key]) for key, outcome in job.outcomes.items()
    } == expected["events"]
    for project_id, project in expected["projects"].items():
        cap = job.caps[project_id]
        assert format_amount(cap.remaining, cap.currency) == project["remaining"]
    budgets = {key: (cap, budget) for cap in job.caps.values() for key, budget in cap.budgets.items()}
    for budget_id, budget in expected.get("budgets", {}).items():
        cap, held = budgets[budget_id]
        assert format_amount(held.released_in(cap.currency), cap.currency) == budget["released"]
    assert {key: job.figures[key] for key in expected["job"]} == expected["job"]
    assert job.held_back == expected.get("held_back", job.held_back)
    assert job.can_be_split == expected.get("can_be_split", job.can_be_split)
