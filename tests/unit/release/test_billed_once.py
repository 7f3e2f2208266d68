"""Billed once: the guards over items and records as data, every row of tests/vectors/billed_once.json (section 2)."""

from decimal import Decimal
from typing import Any

import pytest

from release.domain.billed import Billed, BilledRecord
from release.domain.events import RecordKey
from release.domain.reasons import codes_of
from release.domain.release import Outcome, Refused, bill
from release.domain.settings import RecordGuard, ReleaseSettings
from shared.money import format_amount
from unit.release.builders import (
    ASKED,
    CONFIRMED,
    JOB,
    decide,
    make_budget,
    make_cap,
    make_event,
    make_item,
    vector_cases,
)


def event_of(given: dict[str, Any]) -> Any:
    items = [
        make_item(
            each["item_id"],
            each["amount"],
            each.get("budget_id"),
            category=each.get("category", "timecard"),
            business_record_id=each["record"],
            business_record_version=None,
        )
        for each in given["items"]
    ]
    return make_event(
        *items,
        billing_event_id=given["billing_event_id"],
        project_id=given.get("project_id", "P-1"),
        currency=given.get("currency", "GBP"),
    )


def cap_of(case: dict[str, Any], project_id: str) -> Any:
    given = case.get("project", {})
    budgets = [make_budget(each["budget_id"], each["amount"]) for each in given.get("budgets", ())]
    return make_cap(
        given.get("bookings", "0"),
        "0",
        *budgets,
        enforced="bookings" in given,
        project_id=project_id,
    )


def worth_of(case: dict[str, Any]) -> dict[RecordKey, BilledRecord]:
    return {
        RecordKey(*name.split(" ")): BilledRecord(Decimal(amount))
        for name, amount in case.get("records", {}).items()
    }


def described(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Refused):
        return {"codes": list(codes_of(outcome.reasons))}
    return {"warnings": list(codes_of(outcome.warnings))}


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in vector_cases("billed_once")]
)
def test_records_are_billed_as_the_vector_says(case: dict[str, Any]) -> None:
    settings = ReleaseSettings("support@example.com", record_guard=RecordGuard(case.get("guard", "refuse")))
    request = {"quick": ASKED, "split": CONFIRMED, "job": JOB}[case.get("channel", "quick")]
    events = {given["billing_event_id"]: event_of(given) for given in case["events"]}
    billed = Billed(records=worth_of(case))
    caps = {event.project_id: cap_of(case, event.project_id) for event in events.values()}
    actual = []
    for step in case["release"]:
        event = events[step["billing_event_id"]]
        outcome = decide(event, caps[event.project_id], request, settings, billed=billed)
        actual.append(described(outcome))
        if not isinstance(outcome, Refused):
            bill(billed, outcome)
            caps[event.project_id] = outcome.cap
            events[outcome.event.billing_event_id] = outcome.event
            if hasattr(outcome, "new_event"):
                events[outcome.new_event.billing_event_id] = outcome.new_event
    assert actual == [step["expect"] for step in case["release"]]
    sums = {
        f"{key.kind} {key.record_id} {currency}": format_amount(amount, currency)
        for key, record in billed.records.items()
        for currency, amount in record.sums.items()
    }
    assert sums == case["billed"]
