"""Changing calls with an `Idempotency-Key`: the same key has one effect and one answer (contract.md section 2).

The key, the effect and the answer are written in one transaction, so there is never one without the others.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import orjson
from starlette.requests import Request
from starlette.responses import Response

from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.http.problems import PROBLEM_MEDIA_TYPE, Problem
from shared.http.strictness import idempotency_key_of
from shared.http.tokens import Principal

KEPT_HOURS: Final = 24
PRUNED_KEYS_MAX: Final = 10_000
_JSON_MEDIA_TYPE: Final = "application/json"

# Waits for another transaction that holds the same key; takes over a key whose time has passed.
_CLAIM: Final = """
insert into idempotency_keys as known (user_id, key, request_hash) values ($1, $2, $3)
on conflict (user_id, key) do update
  set request_hash = excluded.request_hash, claimed_at = excluded.claimed_at, status = null
  where known.claimed_at < now() - make_interval(hours => $4)
returning true
"""
_ANSWER: Final = """
update idempotency_keys set status = $3, media_type = $4, headers = $5, body = $6 where user_id = $1 and key = $2
"""
_KNOWN: Final = """
select request_hash, status, media_type, headers, body from idempotency_keys where user_id = $1 and key = $2
"""
_PRUNE: Final = """
with old as (
  select user_id, key from idempotency_keys where claimed_at < now() - make_interval(hours => $1)
  order by claimed_at limit $2 for update skip locked
)
delete from idempotency_keys using old
where idempotency_keys.user_id = old.user_id and idempotency_keys.key = old.key
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an action answers: a status below 500, a body of what JSON knows (or none), further headers."""

    status: int
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Rendered:
    status: int
    media_type: str
    headers: dict[str, str]
    body: bytes

    def response(self) -> Response:
        return Response(self.body, self.status, self.headers, self.media_type if self.body else None)


Action = Callable[[UnitOfWork], Awaitable[Answer]]


async def answer_once(database: Database, request: Request, principal: Principal, action: Action) -> Response:
    """Do the action in one transaction and answer; with an Idempotency-Key, once in 24 hours.

    A request with a key that is under way waits for it and gives its answer. A Problem below 500 that the action
    raises undoes what it did and is the answer, kept like any other; whatever else it raises leaves no trace of the
    key. The action must be repeatable, since the transaction is tried again when it meets another.
    Raises Problem 422 `idempotency_key_reused` for a key that came with another request.
    """
    key = idempotency_key_of(request)
    if key is None:
        return _render(await database.run(action)).response()
    request_hash = await _hash(request)
    published = False

    async def claim_and_act(work: UnitOfWork) -> _Rendered:
        nonlocal published
        published = False
        claimed = await work.connection.fetchval(_CLAIM, principal.user_id, key, request_hash, KEPT_HOURS)
        if not claimed:
            return await _known_answer(work.connection, principal.user_id, key, request_hash)
        try:
            async with work.connection.transaction():
                # Messages of its own, for those of an action that is undone must not be sent.
                attempt = UnitOfWork(work.connection)
                rendered = _render(await action(attempt))
                published = await attempt.flush()
        except Problem as problem:
            if problem.status >= 500:
                raise
            rendered = _render_problem(problem, request)
        await work.connection.execute(
            _ANSWER,
            principal.user_id,
            key,
            rendered.status,
            rendered.media_type,
            rendered.headers,
            rendered.body,
        )
        return rendered

    rendered = await database.run(claim_and_act)
    if published:
        database.committed.set()
    return rendered.response()


async def prune(database: Database) -> None:
    """Forget keys whose time has passed, at most PRUNED_KEYS_MAX at once."""
    await database.pool.execute(_PRUNE, KEPT_HOURS, PRUNED_KEYS_MAX)


async def _known_answer(
    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]",
    user_id: str,
    key: str,
    request_hash: bytes,
) -> _Rendered:
    row = await connection.fetchrow(_KNOWN, user_id, key)
    assert row is not None, "a key in conflict is there: only keys whose time has passed are pruned"
    if row["request_hash"] != request_hash:
        title = "The Idempotency-Key came with another request before"
        raise Problem(422, "idempotency_key_reused", title)
    return _Rendered(row["status"], row["media_type"], row["headers"], row["body"])


async def _hash(request: Request) -> bytes:
    head = f"{request.method} {request.scope['path']}?{request.url.query}\n"
    return hashlib.sha256(head.encode() + await request.body()).digest()


def _render(answer: Answer) -> _Rendered:
    body = b"" if answer.body is None else orjson.dumps(answer.body)
    return _Rendered(answer.status, _JSON_MEDIA_TYPE, dict(answer.headers), body)


def _render_problem(problem: Problem, request: Request) -> _Rendered:
    body = orjson.dumps(problem.body(request.scope["path"]))
    return _Rendered(problem.status, PROBLEM_MEDIA_TYPE, problem.headers, body)
