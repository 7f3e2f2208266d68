"""No call without a valid token, none without its scope, from the contract's route table (contract.md section 2)."""

import time

import httpx
import pytest

from security.answers import PROBLEM
from security.routes import ALL_SCOPES, OPEN, ROUTES, unnamed
from shared.http.routes import routes_of, scopes_of
from support.composed import ComposedSystem
from support.seeding import Seeded
from unit.shared.http.sample import Issuer

SERVICES = sorted(ROUTES)
STREAM = ("GET", "/alerts/stream")


@pytest.fixture
def system(seeded: Seeded) -> ComposedSystem:
    return seeded.system


def bare_client(system: ComposedSystem, service: str, token: str | None = None) -> httpx.AsyncClient:
    """A client of a service without a token, or with exactly this one."""
    transport = httpx.ASGITransport(system.services[service].application)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(transport=transport, base_url=f"http://{service}", headers=headers)


def refused_as(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.request.url
    assert response.json()["code"] == code
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("service", SERVICES)
def test_the_routes_and_their_scopes_are_the_contracts(system: ComposedSystem, service: str) -> None:
    found = {
        (method, unnamed(path)): min(scopes) if scopes else None
        for (method, path), scopes in scopes_of(system.services[service].application).items()
    }
    assert found == ROUTES[service]


@pytest.mark.parametrize("service", SERVICES)
def test_the_open_paths_are_the_five(system: ComposedSystem, service: str) -> None:
    application = system.services[service].application
    assert {route.path for route in routes_of(application) if route.scopes is None} == OPEN


@pytest.mark.parametrize("service", SERVICES)
async def test_every_call_needs_a_token(system: ComposedSystem, service: str) -> None:
    async with bare_client(system, service) as client:
        for method, path in ROUTES[service]:
            refused_as(await client.request(method, path.format("X")), 401, "token_missing")
        for path in ("/", "/no/such/path", "/metrics/", "/health", "/docs/assets", "/openapi.json/"):
            refused_as(await client.get(path), 401, "token_missing")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_token_that_proves_nothing_is_no_token(system: ComposedSystem, service: str) -> None:
    forger = Issuer()
    forger.add_key("one")
    every_scope = " ".join(ALL_SCOPES)
    tokens = [
        "nonsense",
        forger.token(every_scope),
        system.issuer.token(every_scope, aud="another"),
        system.issuer.token(every_scope, iss="https://another.example"),
        system.issuer.token(every_scope, exp=None),
        system.issuer.token(every_scope, nbf=int(time.time()) + 3600),
        system.issuer.token(every_scope).rpartition(".")[0] + ".",
    ]
    method, path = next(iter(ROUTES[service]))
    for token in tokens:
        async with bare_client(system, service, token) as client:
            refused_as(await client.request(method, path.format("X")), 401, "token_invalid")
    async with bare_client(system, service, system.issuer.token(exp=int(time.time()) - 60)) as client:
        refused_as(await client.request(method, path.format("X")), 401, "token_expired")


@pytest.mark.parametrize("service", SERVICES)
async def test_every_call_needs_its_scope(system: ComposedSystem, service: str) -> None:
    for (method, path), scope in ROUTES[service].items():
        if scope is None:
            continue
        others = " ".join(ALL_SCOPES - {scope})
        async with system.client(service, others) as client:
            response = await client.request(method, path.format("X"))
            refused_as(response, 403, "scope_missing")
            assert f'scope="{scope}"' in response.headers["www-authenticate"]


@pytest.mark.parametrize("service", SERVICES)
async def test_its_scope_is_enough(system: ComposedSystem, service: str) -> None:
    for (method, path), scope in ROUTES[service].items():
        if (method, path) == STREAM:
            continue  # it would go on for a quarter of an hour
        async with system.client(service, scope or "") as client:
            response = await client.request(method, path.format("X"))
            assert response.status_code in {200, 404, 422}, f"{method} {path}: {response.status_code}"


@pytest.mark.parametrize("service", SERVICES)
async def test_the_open_paths_answer_without_a_token(system: ComposedSystem, service: str) -> None:
    async with bare_client(system, service) as client:
        for path in OPEN:
            response = await client.get(path)
            assert response.status_code == 200, path


async def test_a_token_for_other_projects_releases_nothing(system: ComposedSystem) -> None:
    async with system.client("release", projects=["P-OTHER"]) as client:
        refused = await client.post("/billing-events/BE-WAIT/release")
        assert (refused.status_code, refused.json()["code"]) == (409, "not_permitted")
        assert "help@example.com" in refused.text
        seen = await client.get("/billing-events/BE-WAIT")
        assert seen.json()["stage"] == "awaiting_release"


async def test_alerts_are_for_those_who_were_told(seeded: Seeded) -> None:
    system = seeded.system
    async with system.client("notifier", sub="stranger", email="stranger@example.com") as client:
        assert (await client.get("/alerts")).json()["items"] == []
        assert (await client.post(f"/alerts/{seeded.alert_id}/read")).status_code == 404
    async with system.client("notifier") as client:
        assert seeded.alert_id in {
            alert["alert_id"] for alert in (await client.get("/alerts")).json()["items"]
        }
