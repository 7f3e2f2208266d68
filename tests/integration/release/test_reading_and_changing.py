"""The calls that read billing events and batches, and change events by hand (contract.md section 2)."""

from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import httpx
import pytest

from integration.release.driver import (
    ReleaseDriver,
    business_record,
    company,
    everything_known,
    generated,
    item,
    project,
    words,
)
from integration.release.releasing import SETTINGS
from release.api.batches import batches_router
from release.api.billing_events import changing_router, reading_router
from release.domain.sources import CompanySource
from shared.database.database import Database
from shared.http.application import create_application
from shared.http.health import HealthRegistry
from shared.http.routes import scopes_of
from shared.http.signing_keys import SigningKeys
from shared.http.tokens import TokenVerifier
from unit.shared.http.sample import AUDIENCE, ISSUER, Issuer

SCOPES = "billing-events:read billing-events:release"


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    issuer = Issuer()
    issuer.add_key("one")
    return issuer


@pytest.fixture
def application(store: Database, issuer: Issuer) -> Any:
    keys = SigningKeys(ISSUER, f"{ISSUER}/jwks", fetch=issuer.fetch)
    return create_application(
        title="Release",
        version=version("sluice-release"),
        description="",
        routers=[
            reading_router(store),
            changing_router(store, CompanySource.PROJECT, SETTINGS),
            batches_router(store),
        ],
        database=store,
        verifier=TokenVerifier(ISSUER, AUDIENCE, keys),
        health=HealthRegistry(),
    )


@pytest.fixture
async def client(application: Any, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {issuer.token(SCOPES)}"}
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://release", headers=headers) as client:
        yield client


async def test_one_event_is_shown_as_its_facts_show_it(
    release: ReleaseDriver, client: httpx.AsyncClient
) -> None:
    await release.psa(*everything_known(), generated("BE-1", item(fields={"a": 1}), fields={"b": [True]}))
    answer = await client.get("/billing-events/BE-1")
    assert answer.status_code == 200
    (fact,) = await release.facts("registered")
    assert answer.json() == fact["billing_event"]
    assert answer.json()["fields"] == {"b": [True]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/billing-events/BE-404"),
        ("GET", "/billing-events/BE-404/history"),
        ("GET", "/billing-event-batches/BB-404"),
        ("PATCH", "/billing-events/BE-404"),
        ("POST", "/billing-events/BE-404/hold"),
        ("POST", "/billing-events/BE-404/recalculate"),
    ],
)
async def test_an_unknown_id_is_not_found(client: httpx.AsyncClient, method: str, path: str) -> None:
    body = (
        {"on_hold": True} if path.endswith("hold") else {"account_id": "A-1"} if method == "PATCH" else None
    )
    answer = await client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_list_is_filtered_and_paged(release: ReleaseDriver, client: httpx.AsyncClient) -> None:
    await release.psa(
        *everything_known(),
        project("P-2", account_id="A-2", currency="EUR"),
        *(generated(f"BE-{number}", batch_id="BB-1" if number % 2 else "BB-2") for number in range(1, 6)),
        generated("BE-6", project_id="P-2", currency="EUR"),
        generated("BE-7", project_id="P-404"),
    )

    async def listed(query: str) -> list[str]:
        answer = await client.get(f"/billing-events?{query}")
        assert answer.status_code == 200
        return [entry["billing_event_id"] for entry in answer.json()["items"]]

    assert await listed("stage=incomplete") == ["BE-7"]
    assert await listed("project_id=P-2") == ["BE-6"]
    assert await listed("account_id=A-2") == ["BE-6"]
    assert await listed("currency=EUR") == ["BE-6"]
    assert await listed("batch_id=BB-2&stage=awaiting_release") == ["BE-2", "BE-4"]
    assert await listed("stage=released") == []
    seen, cursor = [], ""
    for _ in range(10):
        page = (await client.get(f"/billing-events?limit=3{cursor}")).json()
        seen += [entry["billing_event_id"] for entry in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [f"BE-{number}" for number in range(1, 8)]


@pytest.mark.parametrize("query", ["stage=lost", "currency=XXX", "colour=red", "limit=0", "project_id=a%20b"])
async def test_what_a_filter_does_not_know_is_not_acceptable(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/billing-events?{query}")).status_code == 422


async def test_a_fill_answers_with_the_event_and_tells_of_it(
    release: ReleaseDriver, client: httpx.AsyncClient
) -> None:
    await release.psa(project(account_id=None), company(), business_record(), generated())
    answer = await client.patch("/billing-events/BE-1", json={"account_id": "A-7"})
    assert answer.status_code == 200
    assert answer.json() == await release.event()
    assert answer.json()["filled"]["account_id"] == "user"
    (fact,) = await release.facts("changed")
    assert fact["starter"] == {"user_id": "u1", "email": "u1@example.com"}
    assert fact.correlation_id is not None


async def test_a_refused_fill_tells_why_and_publishes_nothing(
    release: ReleaseDriver, client: httpx.AsyncClient
) -> None:
    await release.psa(*everything_known(), generated())
    answer = await client.patch("/billing-events/BE-1", json={"account_id": "A-7"})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_empty")
    assert answer.json()["reasons"][0]["detail"] == {"fields": ["account_id"]}
    assert words(await release.facts()) == ["registered"]


async def test_the_same_idempotency_key_acts_once(release: ReleaseDriver, client: httpx.AsyncClient) -> None:
    await release.psa(*everything_known(), generated())
    calls = [
        await client.post(
            "/billing-events/BE-1/hold", json={"on_hold": True}, headers={"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]
    assert [call.status_code for call in calls] == [200, 200]
    assert calls[0].json() == calls[1].json()
    assert calls[0].json()["on_hold"] is True
    assert words(await release.facts()) == ["registered", "changed"]
    other = await client.post(
        "/billing-events/BE-1/hold", json={"on_hold": False}, headers={"Idempotency-Key": "k"}
    )
    assert other.status_code == 422


async def test_recalculate_copies_the_records(release: ReleaseDriver, client: httpx.AsyncClient) -> None:
    await release.psa(*everything_known(), generated("BE-1", item(business_record_version=1)))
    await release.psa(business_record(version=2, amount="12.00"))
    answer = await client.post("/billing-events/BE-1/recalculate")
    assert (answer.status_code, answer.json()["summary_amount"]) == (200, "12.00")


async def test_the_history_tells_who_did_what(release: ReleaseDriver, client: httpx.AsyncClient) -> None:
    await release.psa(*everything_known(), generated())
    await client.post("/billing-events/BE-1/hold", json={"on_hold": True})
    first = (await client.get("/billing-events/BE-1/history?limit=1")).json()
    assert [entry["what"] for entry in first["items"]] == ["registered"]
    second = (await client.get(f"/billing-events/BE-1/history?cursor={first['next_cursor']}")).json()
    assert [entry["what"] for entry in second["items"]] == ["held"]
    assert second["items"][0]["actor"] == {"user_id": "u1", "email": "u1@example.com"}
    assert second["next_cursor"] is None


async def test_a_batch_is_released_when_all_its_events_are(
    release: ReleaseDriver, client: httpx.AsyncClient
) -> None:
    await release.psa(
        *everything_known(),
        *(generated(f"BE-{number}", batch_id="BB-1") for number in range(1, 4)),
        generated("BE-4", batch_id="BB-2", currency="EUR"),
    )
    pool = release.database.pool
    await pool.execute("update billing_events set stage = 'released', released_at = now() where version = 1")
    await pool.execute(
        "update billing_events set stage = 'awaiting_release', released_at = null where billing_event_id = 'BE-1'"
    )
    batch = (await client.get("/billing-event-batches/BB-1")).json()
    assert (batch["status"], batch["released"]) == ("open", False)
    assert batch["totals"] == {"GBP": "300.00"}
    assert batch["released_totals"] == {"GBP": "200.00"}
    assert batch["stages"] == {"awaiting_release": 1, "released": 2}
    await pool.execute("update billing_events set stage = 'deleted' where billing_event_id = 'BE-1'")
    listed = (await client.get("/billing-event-batches")).json()["items"]
    assert [(each["batch_id"], each["status"], each["totals"]) for each in listed] == [
        ("BB-1", "released", {"GBP": "200.00"}),
        ("BB-2", "released", {"EUR": "100.00"}),
    ]


async def test_every_call_needs_a_token_with_its_scope(application: Any, issuer: Issuer) -> None:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://release") as client:
        calls = {key: scopes for key, scopes in scopes_of(application).items() if "billing" in key[1]}
        assert len(calls) == 8
        for (method, path), scopes in calls.items():
            address = path.replace("{billing_event_id}", "BE-1").replace("{batch_id}", "BB-1")
            body = {"on_hold": True} if path.endswith("hold") else {} if method == "PATCH" else None
            assert (await client.request(method, address, json=body)).status_code == 401
            headers = {"Authorization": f"Bearer {issuer.token('alerts:read')}"}
            assert (await client.request(method, address, json=body, headers=headers)).status_code == 403
            wanted = "billing-events:read" if method == "GET" else "billing-events:release"
            assert scopes == {wanted}
