"""Every row of tests/vectors/services_product.json, through the running handlers (domain.md section 1)."""

import json
from pathlib import Path
from typing import Any

import pytest

from integration.release.driver import (
    COMPANY,
    GENERATED,
    PROJECT,
    RECORD,
    Record,
    ReleaseDriver,
)
from release.domain.sources import CompanySource
from shared.database.database import Database
from support.records import message_record

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "services_product.json").read_text(encoding="utf-8")
)["cases"]


def records_of(known: dict[str, Any]) -> list[Record]:
    records = [message_record(RECORD, {"version": 1} | record) for record in known.get("records", [])]
    records += [message_record(COMPANY, {"version": 1} | company) for company in known.get("companies", [])]
    if known.get("project") is not None:
        records.append(message_record(PROJECT, {"version": 1, "currency": "GBP"} | known["project"]))
    return records


def event_of(event: dict[str, Any]) -> Record:
    money = {"quantity": "1", "unit_price": "100", "amount": "100"}
    items = [
        money | {"created_at": f"2026-11-20T09:00:{place:02d}Z"} | given
        for place, given in enumerate(event["items"])
    ]
    head = {"billing_event_id": "BE-1", "version": 1, "date": "2026-11-20"}
    return message_record(GENERATED, head | event | {"items": items})


def described(event: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """The event in the words of the expectation."""
    shown = {name: event[name] for name in expected if name not in {"items", "waits_for"}}
    if "waits_for" in expected:
        shown["waits_for"] = [f"{source['kind']} {source['id']}" for source in event["waits_for"]]
    if "items" in expected:
        shown["items"] = [
            {name: item[name] for name in wanted}
            for item, wanted in zip(event["items"], expected["items"], strict=True)
        ]
    return shown


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_vector(store: Database, case: dict[str, Any]) -> None:
    release = ReleaseDriver(store, company_source=CompanySource(case["settings"]["company_source"]))
    await release.psa(*records_of(case["known"]))
    await release.psa(event_of(case["event"]))
    assert described(await release.event(), case["expect"]) == case["expect"]
    if "then" in case:
        await release.psa(*records_of(case["then"]["arrives"]))
        await release.settle()
        then = case["then"]["expect"]
        assert described(await release.event(), then) == then


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_vector_with_the_event_first(store: Database, case: dict[str, Any]) -> None:
    release = ReleaseDriver(store, company_source=CompanySource(case["settings"]["company_source"]))
    await release.psa(event_of(case["event"]))
    await release.psa(*records_of(case["known"]))
    await release.settle()
    assert described(await release.event(), case["expect"]) == case["expect"]
