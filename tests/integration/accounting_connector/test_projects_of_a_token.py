"""What a token of some projects, and a token that may not approve, make of process runs (contract.md section 2)."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from integration.accounting_connector.driver import ConnectorDriver, claim, event, released, start_ids
from integration.accounting_connector.http import client_for
from integration.accounting_connector.test_pending import Administrator, broken
from unit.shared.http.sample import Issuer


@pytest.fixture
async def limited(connector: ConnectorDriver, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose token is for project P-1 only."""
    async with client_for(connector.database, issuer, connector.settings, projects=["P-1"]) as client:
        yield client


async def _of_two_projects(connector: ConnectorDriver) -> None:
    await connector.release(released(event("BE-1")), released(event("BE-2", project_id="P-2")))


async def _errors(client: httpx.AsyncClient, run_id: str) -> dict[str, list[str]]:
    """By event the codes of its error; empty where it has its document."""
    items = (await client.get(f"/process-runs/{run_id}/log")).json()["items"]
    return {
        each["billing_event_id"]: [reason["code"] for reason in each["reasons"] if each["result"] == "error"]
        for each in items
    }


@pytest.mark.parametrize(
    ("select", "left_out"),
    [
        ({"billing_event_ids": ["BE-1", "BE-2"]}, {"BE-2": ["not_permitted"]}),
        ({"filter": {"currency": "GBP"}}, {"BE-2": ["not_permitted"]}),
        ({"eligible": True}, {}),
    ],
    ids=["ids", "filter", "eligible"],
)
@pytest.mark.parametrize("grouping", ["billing_event", "account"])
async def test_a_process_run_makes_documents_of_the_tokens_projects_alone(
    connector: ConnectorDriver, limited: httpx.AsyncClient, select: Any, left_out: Any, grouping: str
) -> None:
    await _of_two_projects(connector)
    started = await limited.post("/process-runs", json={"select": select, "grouping": grouping})
    assert started.status_code == 202, started.text

    await connector.settle()

    assert await _errors(limited, started.json()["process_run_id"]) == {"BE-1": [], **left_out}
    [made] = await connector.facts("validated")
    assert made["billing_event_ids"] == ["BE-1"]


async def test_what_would_not_be_passed_is_told_before(
    connector: ConnectorDriver, limited: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    await _of_two_projects(connector)
    body = {"select": {"billing_event_ids": ["BE-1", "BE-2"]}}

    told = (await limited.post("/process-runs/validate", json=body)).json()["would_fail"]

    assert [(each["billing_event_id"], each["reasons"][0]["code"]) for each in told] == [
        ("BE-2", "not_permitted")
    ]
    assert (await client.post("/process-runs/validate", json=body)).json()["would_fail"] == []


async def test_a_retry_has_the_rights_of_who_asks_for_it(
    connector: ConnectorDriver, limited: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    await _of_two_projects(connector)
    body = {"select": {"billing_event_ids": ["BE-1", "BE-2"]}}
    run_id = (await limited.post("/process-runs", json=body)).json()["process_run_id"]
    await connector.settle()

    again = (await limited.post(f"/process-runs/{run_id}/retry", json={})).json()["process_run_id"]
    await connector.settle()
    assert await _errors(limited, again) == {"BE-2": ["not_permitted"]}

    again = (await client.post(f"/process-runs/{run_id}/retry", json={})).json()["process_run_id"]
    await connector.settle()
    assert await _errors(client, again) == {"BE-2": []}


async def test_nobody_gives_up_what_is_of_other_projects(
    connector: ConnectorDriver, limited: httpx.AsyncClient, administrator: Administrator
) -> None:
    await _of_two_projects(connector)
    async with broken(administrator, "documents"):
        await connector.command(start_ids("PR-1", "BE-1", "BE-2"))
        await connector.settle()

    refused = await limited.post("/process-runs/PR-1/give-up", json={"billing_event_ids": None})
    own = await limited.post("/process-runs/PR-1/give-up", json={"billing_event_ids": ["BE-1"]})

    assert (refused.status_code, refused.json()["code"]) == (409, "not_permitted")
    assert (own.status_code, own.json()["pending"]) == (200, 1)


async def test_no_process_run_numbers_what_a_billing_run_holds(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.release(released(event("BE-1")))
    await connector.command(claim("R-1", "BE-1"))
    body = {"select": {"billing_event_ids": ["BE-1"]}, "billing_run_id": "R-1"}

    for numbering in ({}, {"validate": True}):
        refused = await client.post("/process-runs", json=body | numbering)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "validate")
    assert (await client.post("/process-runs", json=body | {"validate": False})).status_code == 202

    await connector.settle()
    assert await connector.facts("validated") == []
