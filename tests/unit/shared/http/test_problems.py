"""Whatever goes wrong is answered as problem details (contract.md section 2)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from shared.http.application import BODY_BYTES_MAX, Application
from shared.http.problems import FieldError, Problem
from unit.shared.http.sample import CANARY, Issuer, client_of

NOTE = {"note_id": "N1", "text": "a", "amount": "1.00"}


def problem_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, "about:blank")
    assert problem["instance"] == response.request.url.raw_path.decode().partition("?")[0]
    return problem


def test_a_problem_holds_its_errors_and_further_members() -> None:
    problem = Problem(
        409,
        "split_required",
        "Split",
        detail="Why",
        errors=[FieldError("items[0]", "is too much")],
        members={"reasons": [{"code": "split_required"}], "preview": None},
    )
    assert problem.body("/a b") == {
        "type": "about:blank",
        "title": "Split",
        "status": 409,
        "code": "split_required",
        "detail": "Why",
        "instance": "/a%20b",
        "errors": [{"field": "items[0]", "message": "is too much"}],
        "reasons": [{"code": "split_required"}],
        "preview": None,
    }


async def test_invalid_fields_are_named_by_their_path_and_not_quoted(client: httpx.AsyncClient) -> None:
    body = {"note_id": CANARY, "text": 5, "amount": 1.5, "tags": ["ok", CANARY], "unknown": 1}
    response = await client.put("/notes/N1", json=body)
    problem = problem_of(response, 422, "validation_failed")
    fields = {error["field"] for error in problem["errors"]}
    assert fields == {"note_id", "text", "amount", "tags[1]", "unknown"}
    assert CANARY not in response.text


async def test_a_missing_body_is_named(client: httpx.AsyncClient) -> None:
    problem = problem_of(await client.put("/notes/N1"), 422, "validation_failed")
    assert [error["field"] for error in problem["errors"]] == ["body"]


async def test_at_most_100_errors_are_told(client: httpx.AsyncClient) -> None:
    body = NOTE | {f"unknown{n}": 1 for n in range(300)}
    problem = problem_of(await client.put("/notes/N1", json=body), 422, "validation_failed")
    assert len(problem["errors"]) == 100


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":"\xff"}',
        b'"\\ud800"',
        b"[" * 100_000,
        b"[" * 2_000 + b"]" * 2_000,
        b"\x00",
    ],
    ids=["cut", "nan", "infinity", "not utf-8", "lone surrogate", "bottomless", "deep", "nul"],
)
async def test_what_is_not_json_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    problem_of(await client.put("/notes/N1", content=content, headers=headers), 422, "validation_failed")


async def test_a_body_that_does_not_say_it_is_json_is_refused(client: httpx.AsyncClient) -> None:
    problem_of(await client.put("/notes/N1", content=json.dumps(NOTE)), 422, "validation_failed")


async def test_an_unknown_path_is_not_found(client: httpx.AsyncClient) -> None:
    problem_of(await client.get("/nothing/here"), 404, "not_found")


async def test_a_thing_that_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    problem_of(await client.get("/notes/N2"), 404, "not_found")


async def test_a_wrong_method_is_answered_with_all_that_are_allowed(client: httpx.AsyncClient) -> None:
    response = await client.delete("/notes/N1")
    problem_of(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, PUT"


async def test_a_mistake_of_ours_tells_and_logs_nothing_of_what_it_met(client: httpx.AsyncClient) -> None:
    with capture_logs() as logs:
        response = await client.get("/broken")
    problem_of(response, 500, "internal_error")
    assert CANARY not in response.text
    (entry,) = [entry for entry in logs if entry["event"] == "request failed"]
    assert entry["error_type"] == "ValueError"
    assert any("sample.py" in frame for frame in entry["where"])
    assert CANARY not in str(logs)


async def test_an_answer_that_is_not_as_documented_is_a_mistake_of_ours(client: httpx.AsyncClient) -> None:
    response = await client.get("/loose")
    problem_of(response, 500, "internal_error")
    assert CANARY not in response.text


async def test_a_change_that_no_message_can_tell_is_refused_with_its_code(client: httpx.AsyncClient) -> None:
    response = await client.get("/too-large")
    problem_of(response, 409, "too_large")
    assert CANARY not in response.text


async def test_a_dependency_that_is_away_is_said_to_be_so(client: httpx.AsyncClient) -> None:
    response = await client.get("/away")
    problem_of(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert CANARY not in response.text


@pytest.mark.parametrize("path", ["/notes/N1", "/nothing", "/mine"])
async def test_an_announced_large_body_is_refused(client: httpx.AsyncClient, path: str) -> None:
    body = b'"' + b"x" * BODY_BYTES_MAX + b'"'
    response = await client.put(path, content=body, headers={"Content-Type": "application/json"})
    problem_of(response, 413, "body_too_large")


async def test_a_large_body_is_refused_while_it_comes(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 100_000

    response = await client.put("/notes/N1", content=endless(), headers={"Content-Type": "application/json"})
    problem_of(response, 413, "body_too_large")
    assert sent <= 12


async def test_a_route_may_take_larger_bodies(client: httpx.AsyncClient) -> None:
    padding = " " * (2 * BODY_BYTES_MAX)
    headers = {"Content-Type": "application/json"}
    response = await client.post("/jobs", content=padding + json.dumps(NOTE), headers=headers)
    assert response.status_code == 200
    response = await client.post("/jobs", content=padding * 8 + json.dumps(NOTE), headers=headers)
    problem_of(response, 413, "body_too_large")


async def test_a_large_body_without_a_token_is_not_even_read(application: Application) -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with client_of(application) as client:
        problem_of(await client.post("/jobs", content=unread()), 401, "token_missing")


async def test_answers_stay_out_of_caches_and_foreign_pages(application: Application, issuer: Issuer) -> None:
    async with client_of(application, issuer.token()) as client:
        for path in ("/notes", "/nothing", "/broken"):
            headers = (await client.get(path)).headers
            assert headers["cache-control"] == "no-store", path
            assert headers["x-content-type-options"] == "nosniff", path
            assert "default-src 'none'" in headers["content-security-policy"], path
