"""Bodies that do harm: no JSON, bottomless or endless JSON, odd numbers, expressions that are programs."""

import json
from typing import Any, Final

import pytest

from security.answers import PROBLEM, answers_well
from security.routes import CHANGING
from support import seeding
from support.seeding import Seeded

HOSTILE_BODIES: Final[dict[str, bytes]] = {
    "not JSON": b"{",
    "nothing": b" ",
    "not UTF-8": b'{"description": "\xff\xfe"}',
    "UTF-16": json.dumps({"description": "a"}).encode("utf-16"),
    "a lone surrogate": b'{"description": "\\ud800"}',
    "NUL": b'{"description": "a\\u0000b"}',
    "NUL in a key": b'{"a\\u0000b": 1}',
    "NaN": b'{"description": NaN}',
    "Infinity": b'{"description": -Infinity}',
    "an exponent": b'{"description": 1e999999}',
    "a long integer": b'{"description": ' + b"9" * 10_000 + b"}",
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 40 + b"1" + b"}" * 40,
    "a list": b"[]",
    "a text": b'"text"',
    "null": b"null",
    "an unknown field": b'{"surplus": 1}',
    "prototype": b'{"__proto__": {"admin": true}, "constructor": {}}',
    "a megabyte too many": b'{"description": "' + b"a" * 17_000_000 + b'"}',
}
BODYLESS: Final = {
    "close",
    "disable",
    "enable",
    "move-left-out",
    "read",
    "recalculate",
    "resend",
    "stop",
}


@pytest.mark.parametrize(("service", "method", "route"), CHANGING, ids=str)
async def test_hostile_bodies_are_refused(seeded: Seeded, service: str, method: str, route: str) -> None:
    takes_no_body = route.rpartition("/")[2] in BODYLESS
    if takes_no_body:
        route = route.format("NONE")
    async with seeded.system.client(service) as client:
        for what, body in HOSTILE_BODIES.items():
            headers = {"Content-Type": "application/json"}
            response = await client.request(method, route.format("NONE"), content=body, headers=headers)
            assert response.status_code in {404, 413, 422}, f"{what}: {response.status_code}"
            assert response.headers["content-type"] == PROBLEM, what
            if response.status_code == 404:
                assert takes_no_body or what in {"null", "nothing"}, f"{what} was taken as a body"


async def test_a_body_that_does_not_say_its_length_is_bounded_too(seeded: Seeded) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 64 * 1024 * 1024:
            sent += 1024 * 1024
            yield b" " * 1024 * 1024

    async with seeded.system.client("release") as client:
        response = await client.post(
            "/release-jobs", content=endless(), headers={"Content-Type": "application/json"}
        )
    assert response.status_code == 413
    assert response.headers["content-type"] == PROBLEM
    assert sent < 20 * 1024 * 1024


AMOUNTS: Final[list[Any]] = [
    "1e5",
    "NaN",
    "Infinity",
    "-0x1",
    "1,000.00",
    "\uff11\uff10\uff10",
    "+1",
    " 1",
    "1.",
    ".5",
    "1.001",
    "9" * 19,
    "9" * 5_000,
    "-1",
    0.1,
    True,
    None,
    [],
    {},
]


@pytest.mark.parametrize("amount", AMOUNTS, ids=lambda value: repr(value)[:30])
async def test_amounts_are_plain_decimals(seeded: Seeded, amount: Any) -> None:
    body = {"scope": {"filter": {"project_id": "P-1"}}, "invoice_date": "2026-11-30"}
    async with seeded.system.client("billing-runs") as client:
        response = await client.post(
            "/billing-runs", json=body | {"threshold": {"amount": amount, "currency": "GBP"}}
        )
        answers_well(response)
    tax_rule = {"category": "S", "rate": amount}
    if amount != "1.001":  # a percentage may have six decimals
        async with seeded.system.client("accounting-connector") as client:
            path = f"/companies/{seeding.COMPANY}/settings"
            answers_well(await client.put(path, json={"tax_rules": [tax_rule]}))


EXPRESSIONS: Final = [
    "__import__('os').system('true')",
    "().__class__.__bases__",
    "total_net.__class__",
    "open('/etc/passwd')",
    "lambda: 1",
    "[x for x in range(10**9)]",
    "9**9**9",
    "'a' * 10**9",
    "globals()",
    "f'{total_net}'",
    "total_net := 1",
    "(" * 500 + "1" + ")" * 500,
    "1 +" * 10_000 + "1",
    "\x00",
    "",
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda text: text[:30])
async def test_expressions_are_no_programs(seeded: Seeded, expression: str) -> None:
    async with seeded.system.client("billing-runs") as client:
        rule = {"fail_status": "rejected", "expression": expression}
        answers_well(await client.put("/rules/HOSTILE", json=rule))
        answers_well(await client.get("/rules/HOSTILE"))
    async with seeded.system.client("accounting-connector") as client:
        path = f"/companies/{seeding.COMPANY}/settings"
        answers_well(await client.put(path, json={"event_criteria": [expression]}))


async def test_the_books_still_balance(seeded: Seeded) -> None:
    for service in ("release", "accounting-connector"):
        async with seeded.system.client(service) as client:
            assert (await client.get("/reconciliation")).json()["balanced"] is True
