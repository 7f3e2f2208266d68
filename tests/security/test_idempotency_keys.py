"""A key has one effect and one answer, on every changing call, whatever races (contract.md section 2)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import httpx
import pytest

from security.requests import ValidRequest, changing_requests
from security.routes import CHANGING
from shared.ids import new_id
from support.databases import Databases
from support.seeding import Seeded, seeded_system

ONLY_LOOKING: Final = {
    ("release", "POST", "/release-jobs/validate"),
    ("accounting-connector", "POST", "/process-runs/validate"),
    ("accounting-connector", "POST", "/companies/{}/settings/try"),
    ("billing-runs", "POST", "/rules/{}/test"),
}
CALLS: Final = sorted(set(CHANGING) - ONLY_LOOKING)
RACERS: Final = 8


@pytest.fixture(scope="module")
async def own(databases: Databases) -> AsyncIterator[Seeded]:
    """A system of the module's own, whose runs and events it may change."""
    async with seeded_system(databases) as made:
        yield made


def request_of(seeded: Seeded, call: tuple[str, str, str]) -> ValidRequest:
    (found,) = [each for each in changing_requests(seeded) if (each.service, each.method, each.route) == call]
    return found


async def send(client: httpx.AsyncClient, request: ValidRequest, key: str, body: object) -> httpx.Response:
    return await client.request(request.method, request.path, json=body, headers={"Idempotency-Key": key})


def told(response: httpx.Response) -> tuple[int, str, bytes]:
    return response.status_code, response.headers.get("content-type", ""), response.content


async def test_every_changing_call_has_a_request(own: Seeded) -> None:
    requests = [(each.service, each.method, each.route) for each in changing_requests(own)]
    assert sorted(requests) == CALLS


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
async def test_racing_requests_with_a_key_get_one_answer(own: Seeded, call: tuple[str, str, str]) -> None:
    request, key = request_of(own, call), new_id()
    async with own.system.client(request.service) as client:
        answers = await asyncio.gather(*(send(client, request, key, request.body) for _ in range(RACERS)))
        assert answers[0].status_code < 500
        assert answers[0].status_code != 422, answers[0].text
        assert {told(answer) for answer in answers} == {told(answers[0])}
        await own.system.settle()
        later = await send(client, request, key, request.body)
        assert told(later) == told(answers[0]), "what has happened since makes no other answer"


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
async def test_a_key_with_another_request_is_refused(own: Seeded, call: tuple[str, str, str]) -> None:
    request, key = request_of(own, call), new_id()
    async with own.system.client(request.service) as client:
        first = await send(client, request, key, request.body)
        reused = await send(client, request, key, request.other_body or {"another": "body"})
        assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
        again = await send(client, request, key, request.body)
        assert told(again) == told(first)
    async with own.system.client(request.service, sub="another-user") as client:
        others = await send(client, request, key, request.body)
        assert others.status_code != 422, "a key is its user's own"


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
async def test_a_key_that_is_none_is_refused(own: Seeded, call: tuple[str, str, str]) -> None:
    request = request_of(own, call)
    async with own.system.client(request.service) as client:
        for key in ("", "x" * 256, "caf\u00e9", "a\tb"):
            headers = [(b"Idempotency-Key", key.encode())]
            response = await client.request(request.method, request.path, json=request.body, headers=headers)
            assert (response.status_code, response.json()["code"]) == (422, "validation_failed"), key
            assert response.json()["errors"][0]["field"] == "Idempotency-Key"
