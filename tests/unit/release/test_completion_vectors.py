"""Completion on arrival as data: every row of tests/vectors/services_product.json (domain.md section 1)."""

from typing import Any

import pytest

from release.domain.completion import Completion, complete_event
from release.domain.events import BillingEvent, RecordKey
from release.domain.services_product import CHAINS
from release.domain.sources import (
    BusinessRecord,
    Companies,
    Company,
    CompanySource,
    KnownSources,
    Project,
    Source,
    find_other_kinds,
)
from unit.release.builders import make_event, make_item, vector_cases


def record_of(record: dict[str, Any]) -> BusinessRecord:
    parent = record["parent"]
    return BusinessRecord(
        key=RecordKey(record["kind"], record["record_id"]),
        version=1,
        parent=None if parent is None else RecordKey(parent["kind"], parent["record_id"]),
        services_product=record["services_product"],
        name=record["name"],
    )


def known_of(known: dict[str, Any]) -> KnownSources:
    project = known.get("project")
    records = [record_of(record) for record in known["records"]]
    named = {RecordKey(kind, record.key.record_id) for record in records for kind in CHAINS}
    return KnownSources(
        project=None
        if project is None
        else Project(
            project_id=project["project_id"],
            account_id=project["account_id"],
            company_id=project["company_id"],
            region=project["region"],
            practice=project["practice"],
            group=project["group"],
            services_product=project["services_product"],
            budget_ids=frozenset(),
        ),
        companies=Companies.of(
            Company(
                company["company_id"],
                frozenset(company["accounting_currencies"]),
                frozenset(company["regions"]),
                frozenset(company["practices"]),
                frozenset(company["groups"]),
            )
            for company in known["companies"]
        ),
        records={record.key: record for record in records},
        other_kinds=find_other_kinds(named, records),
    )


def event_of(event: dict[str, Any]) -> BillingEvent:
    items = [
        make_item(
            item["item_id"],
            "100",
            category=item["category"],
            business_record_id=item["business_record_id"],
            services_product=item["services_product"],
            description=item["description"],
            accounting_line_description=None,
        )
        for item in event["items"]
    ]
    head = {key: value for key, value in event.items() if key != "items"}
    return make_event(*items, **head)


def described(completion: Completion, expected: dict[str, Any]) -> dict[str, Any]:
    event = completion.event
    if completion.waits_for:
        return {"stage": event.stage.value, "waits_for": [str(source) for source in completion.waits_for]}
    return {
        "stage": event.stage.value,
        "account_id": event.account_id,
        "company_id": event.company_id,
        "billing_event_currency": event.billing_event_currency,
        "filled": dict(event.filled),
        "items": [{name: getattr(item, name) for name in expected["items"][0]} for item in event.items],
        "missing": list(completion.missing),
    }


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in vector_cases("services_product")]
)
def test_event_is_completed_as_the_vector_says(case: dict[str, Any]) -> None:
    company_source = CompanySource(case["settings"]["company_source"])
    completion = complete_event(event_of(case["event"]), known_of(case["known"]), company_source)
    assert described(completion, case["expect"]) == case["expect"]

    if "then" not in case:
        return
    arrives = case["then"]["arrives"]
    assert arrives.keys() == {"records"}
    assert {
        Source(record["kind"], record["record_id"]) for record in arrives["records"]
    } <= completion.sources
    known = {**case["known"], "records": [*case["known"]["records"], *arrives["records"]]}
    again = complete_event(completion.event, known_of(known), company_source)
    assert described(again, case["then"]["expect"]) == case["then"]["expect"]
