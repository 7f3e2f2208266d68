"""With the same Idempotency-Key the same call has one effect and one answer (contract.md section 2)."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from shared.contracts.catalogue import CATALOGUE
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.http.application import Application
from shared.http.idempotency import Answer, answer_once, prune
from shared.http.problems import Problem
from shared.http.tokens import Principal
from unit.shared.http.sample import Issuer, client_of
from unit.shared.http.test_problems import problem_of

ALICE = Principal("alice", None, frozenset(), None)
BOB = Principal("bob", None, frozenset(), None)
MESSAGE_TYPE = next(iter(CATALOGUE))


def request_of(key: str | None, body: bytes = b"{}", path: str = "/things", method: str = "POST") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [] if key is None else [(b"idempotency-key", key.encode())]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    return Request(scope, receive)


async def insert(work: UnitOfWork, note_id: str = "N1") -> None:
    await work.connection.execute("insert into notes (note_id, user_id) values ($1, 'u')", note_id)


async def notes_of(database: Database) -> int:
    return int(await database.pool.fetchval("select count(*) from notes"))


async def outbox_of(database: Database) -> int:
    return int(await database.pool.fetchval("select count(*) from outbox"))


def body_of(response: Response) -> Any:
    return json.loads(bytes(response.body))


async def test_the_second_call_gets_the_first_answer_to_the_byte(client: httpx.AsyncClient) -> None:
    body = {"note_id": "N1", "text": "a", "amount": "1.00"}
    headers = {"Idempotency-Key": "k1"}
    first = await client.post("/notes", json=body, headers=headers)
    second = await client.post("/notes", json=body, headers=headers)
    assert first.status_code == second.status_code == 201
    assert first.headers["location"] == second.headers["location"] == "/notes/N1"
    assert first.content == second.content
    problem_of(await client.post("/notes", json=body), 409, "already_there")


async def test_a_refusal_is_an_answer_like_any_other(
    client: httpx.AsyncClient, sample_database: Database
) -> None:
    body = {"note_id": "N1", "text": "a", "amount": "1.00"}
    assert (await client.post("/notes", json=body)).status_code == 201
    headers = {"Idempotency-Key": "k1"}
    first = await client.post("/notes", json=body, headers=headers)
    problem_of(first, 409, "already_there")
    await sample_database.pool.execute("delete from notes")
    second = await client.post("/notes", json=body, headers=headers)
    problem_of(second, 409, "already_there")
    assert first.content == second.content


async def test_further_members_of_a_refusal_are_kept(client: httpx.AsyncClient) -> None:
    body = {"note_id": "N1", "text": "refused", "amount": "1.00"}
    for _ in range(2):
        response = await client.post("/notes", json=body, headers={"Idempotency-Key": "k1"})
        assert problem_of(response, 409, "refused")["reasons"] == [{"code": "refused"}]


@pytest.mark.parametrize(
    "other", [{"body": b'{"a":1}'}, {"path": "/others"}, {"method": "PUT"}], ids=["body", "path", "method"]
)
async def test_a_key_cannot_be_used_for_another_request(
    sample_database: Database, other: dict[str, Any]
) -> None:
    async def act(work: UnitOfWork) -> Answer:
        await insert(work)
        return Answer(200, {})

    await answer_once(sample_database, request_of("k1"), ALICE, act)
    with pytest.raises(Problem) as caught:
        await answer_once(sample_database, request_of("k1", **other), ALICE, act)
    assert (caught.value.status, caught.value.code) == (422, "idempotency_key_reused")
    assert await notes_of(sample_database) == 1


async def test_keys_of_different_users_are_different_keys(sample_database: Database) -> None:
    async def act_for(user: str) -> Any:
        async def act(work: UnitOfWork) -> Answer:
            return Answer(200, {"user": user})

        return act

    first = await answer_once(sample_database, request_of("k1"), ALICE, await act_for("alice"))
    second = await answer_once(sample_database, request_of("k1"), BOB, await act_for("bob"))
    assert (body_of(first), body_of(second)) == ({"user": "alice"}, {"user": "bob"})


async def test_of_two_calls_at_the_same_time_the_second_waits_and_gets_the_answer(
    sample_database: Database,
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    acted = []

    async def act(work: UnitOfWork) -> Answer:
        acted.append(1)
        await insert(work)
        begun.set()
        await may_end.wait()
        return Answer(200, {"acted": len(acted)})

    first = asyncio.create_task(answer_once(sample_database, request_of("k1"), ALICE, act))
    await asyncio.wait_for(begun.wait(), 60)
    second = asyncio.create_task(answer_once(sample_database, request_of("k1"), ALICE, act))
    async with asyncio.timeout(60):
        while not await sample_database.pool.fetchval(  # noqa: ASYNC110 - PostgreSQL tells nobody
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%idempotency_keys%'"
        ):
            await asyncio.sleep(0.01)
    assert not second.done()
    may_end.set()
    assert body_of(await first) == body_of(await second) == {"acted": 1}
    assert len(acted) == 1
    assert await notes_of(sample_database) == 1


async def test_many_calls_at_the_same_time_have_one_effect(application: Application, issuer: Issuer) -> None:
    body = {"note_id": "N1", "text": "a", "amount": "1.00"}
    async with client_of(application, issuer.token()) as client:
        calls = (client.post("/notes", json=body, headers={"Idempotency-Key": "k1"}) for _ in range(20))
        responses = await asyncio.gather(*calls)
    assert {response.status_code for response in responses} == {201}


async def test_a_refused_action_leaves_neither_rows_nor_messages(sample_database: Database) -> None:
    async def act(work: UnitOfWork) -> Answer:
        await insert(work)
        work.publish(MESSAGE_TYPE, "N1", {})
        raise Problem(409, "no", "No")

    response = await answer_once(sample_database, request_of("k1"), ALICE, act)
    assert response.status_code == 409
    assert (await notes_of(sample_database), await outbox_of(sample_database)) == (0, 0)
    with pytest.raises(Problem):
        await answer_once(sample_database, request_of(None), ALICE, act)
    assert (await notes_of(sample_database), await outbox_of(sample_database)) == (0, 0)


async def test_a_refusal_after_a_failed_statement_is_still_kept(sample_database: Database) -> None:
    async def act(work: UnitOfWork) -> Answer:
        await insert(work)
        try:
            await insert(work)
        except Exception:  # noqa: BLE001 - the transaction is now in error, which is the point
            raise Problem(409, "twice", "Twice") from None
        return Answer(200)

    for _ in range(2):
        assert body_of(await answer_once(sample_database, request_of("k1"), ALICE, act))["code"] == "twice"


@pytest.mark.parametrize("key", ["k1", None])
async def test_rows_and_messages_are_committed_once_and_the_relay_is_told(
    sample_database: Database, key: str | None
) -> None:
    async def act(work: UnitOfWork) -> Answer:
        await insert(work)
        work.publish(MESSAGE_TYPE, "N1", {})
        return Answer(200, {"a": 1})

    sample_database.committed.clear()
    await answer_once(sample_database, request_of(key), ALICE, act)
    assert sample_database.committed.is_set()
    if key is not None:
        await answer_once(sample_database, request_of(key), ALICE, act)
    assert (await notes_of(sample_database), await outbox_of(sample_database)) == (1, 1)


@pytest.mark.parametrize("error", [ValueError("broken"), Problem(503, "unavailable", "Away")])
async def test_after_a_failure_the_key_is_free_again(sample_database: Database, error: Exception) -> None:
    failing = True

    async def act(work: UnitOfWork) -> Answer:
        await insert(work)
        if failing:
            raise error
        return Answer(200, {"done": True})

    with pytest.raises(type(error)):
        await answer_once(sample_database, request_of("k1"), ALICE, act)
    assert await notes_of(sample_database) == 0
    failing = False
    assert body_of(await answer_once(sample_database, request_of("k1"), ALICE, act)) == {"done": True}


async def test_after_a_day_a_key_may_be_used_anew_and_is_pruned(sample_database: Database) -> None:
    async def act(work: UnitOfWork) -> Answer:
        number = await work.connection.fetchval("select count(*) from notes")
        await insert(work, f"N{number}")
        return Answer(200, {"number": number})

    async def age(hours: float) -> None:
        await sample_database.pool.execute(
            "update idempotency_keys set claimed_at = now() - make_interval(secs => $1)", hours * 3600
        )

    async def call(body: bytes) -> Any:
        return body_of(await answer_once(sample_database, request_of("k1", body), ALICE, act))

    assert await call(b"1") == {"number": 0}
    await age(23.9)
    await prune(sample_database)
    assert await call(b"1") == {"number": 0}
    await age(24.1)
    assert await call(b"2") == {"number": 1}
    assert await call(b"2") == {"number": 1}
    await age(24.1)
    await prune(sample_database)
    assert await sample_database.pool.fetchval("select count(*) from idempotency_keys") == 0


async def test_an_answer_without_a_body_stays_without_one(sample_database: Database) -> None:
    async def act(work: UnitOfWork) -> Answer:
        return Answer(204)

    for _ in range(2):
        response = await answer_once(sample_database, request_of("k1"), ALICE, act)
        assert (response.status_code, response.body) == (204, b"")
        assert "content-type" not in response.headers
