"""No call without a token, none without its scope (contract.md section 2)."""

import time
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter

from shared.http.application import Application
from shared.http.authorization import OPEN_PATHS, require, require_token
from shared.http.routes import routes_of, routes_without_scope, scopes_of
from shared.http.tokens import Principal
from unit.shared.http.sample import Issuer, client_of, sample_application
from unit.shared.http.test_problems import problem_of


async def test_every_call_but_the_open_ones_needs_a_token(application: Application) -> None:
    closed = [route for route in routes_of(application) if route.path not in OPEN_PATHS]
    assert len(closed) >= 9
    async with client_of(application) as client:
        for route in closed:
            response = await client.request(route.method, route.path, content=b"not even JSON")
            problem_of(response, 401, "token_missing")
            assert response.headers["www-authenticate"] == 'Bearer realm="sluice"'
        problem_of(await client.get("/no/such/path"), 401, "token_missing")
        problem_of(await client.options("/notes"), 401, "token_missing")


async def test_every_scope_that_a_route_names_is_needed(application: Application, issuer: Issuer) -> None:
    needed = {key: scopes for key, scopes in scopes_of(application).items() if scopes}
    assert needed[("PUT", "/notes/{note_id}")] == {"notes:write"}
    for (method, path), scopes in needed.items():
        others = {"notes:read", "notes:write", "alerts:read"} - scopes
        async with client_of(application, issuer.token(" ".join(others))) as client:
            response = await client.request(method, path.replace("{note_id}", "N1"))
            problem_of(response, 403, "scope_missing")
            assert f'scope="{min(scopes)}"' in response.headers["www-authenticate"]


async def test_the_open_paths_answer_without_a_token(application: Application) -> None:
    async with client_of(application) as client:
        for path in OPEN_PATHS:
            assert (await client.get(path)).status_code in {200, 503}, path


@pytest.mark.parametrize(
    "path", ["/metrics/", "/health/live/", "/HEALTH/live", "/docs/../notes", "//metrics", "/docs/assetsx"]
)
async def test_what_only_looks_like_an_open_path_is_closed(application: Application, path: str) -> None:
    async with client_of(application) as client:
        response = await client.get(httpx.URL(scheme="http", host="testserver", path=path))
        assert response.status_code == 401


async def test_invalid_and_expired_tokens_are_told_apart(application: Application, issuer: Issuer) -> None:
    async with client_of(application, "nonsense") as client:
        response = await client.get("/notes")
        problem_of(response, 401, "token_invalid")
        assert 'error="invalid_token"' in response.headers["www-authenticate"]
    async with client_of(application, issuer.token(exp=int(time.time()) - 60)) as client:
        problem_of(await client.get("/notes"), 401, "token_expired")


async def test_one_bearer_token_is_expected(application: Application, issuer: Issuer) -> None:
    token = issuer.token()
    async with client_of(application) as client:
        for given in ([f"Basic {token}"], [token], ["Bearer"], [f"Bearer {token}", f"Bearer {token}"]):
            response = await client.get("/notes", headers=[("Authorization", value) for value in given])
            problem_of(response, 401, "token_invalid")
        response = await client.get("/notes", headers={"Authorization": f"bearer {token}"})
        assert response.status_code == 200


async def test_a_route_for_oneself_takes_any_token(application: Application, issuer: Issuer) -> None:
    async with client_of(application, issuer.token("")) as client:
        response = await client.get("/mine")
        assert response.json() == {"user_id": "u1", "email": "u1@example.com"}


async def test_while_no_key_is_known_the_service_is_unavailable(
    application: Application, issuer: Issuer
) -> None:
    issuer.is_away = True
    async with client_of(application, issuer.token()) as client:
        problem_of(await client.get("/notes"), 503, "unavailable")


def test_the_route_table_tells_which_routes_forgot_a_scope(issuer: Issuer) -> None:
    router = APIRouter(prefix="/things")

    @router.get("/forgotten")
    async def forgotten() -> None: ...

    @router.get("/own", dependencies=[require_token()])
    async def own() -> None: ...

    @router.post("/both", dependencies=[require("a:read")])
    async def both(principal: Annotated[Principal, require("b:write")]) -> None: ...

    application = sample_application(issuer, routers=[router])
    assert routes_without_scope(application) == [("GET", "/things/forgotten")]
    assert scopes_of(application) == {
        ("GET", "/things/own"): frozenset(),
        ("POST", "/things/both"): frozenset({"a:read", "b:write"}),
    }


def test_the_sample_has_no_route_without_a_scope(application: Application) -> None:
    assert routes_without_scope(application) == []
