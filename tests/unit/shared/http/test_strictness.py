"""What no request may hold (quality.md, Security)."""

import httpx
import pytest

from unit.shared.http.test_problems import NOTE, problem_of


async def test_an_unknown_query_parameter_is_refused(client: httpx.AsyncClient) -> None:
    problem = problem_of(await client.get("/notes?kinds=red"), 422, "validation_failed")
    assert problem["errors"] == [{"field": "kinds", "message": "is not a query parameter of this call"}]
    problem_of(await client.put("/notes/N1?x=", json=NOTE), 422, "validation_failed")


async def test_known_query_parameters_are_taken(client: httpx.AsyncClient) -> None:
    assert (await client.get("/notes?kind=red&limit=2")).status_code == 200


async def test_an_unknown_value_of_a_filter_is_refused(client: httpx.AsyncClient) -> None:
    problem = problem_of(await client.get("/notes?kind=green"), 422, "validation_failed")
    assert problem["errors"][0]["field"] == "kind"


@pytest.mark.parametrize("path", ["/notes?kind=a%00", "/notes?a%00b=1", "/notes/N%001"])
async def test_nul_in_an_address_is_refused(client: httpx.AsyncClient, path: str) -> None:
    problem_of(await client.get(path), 422, "validation_failed")


@pytest.mark.parametrize("text", ['"a\\u0000b"', '["\\u0000"]', '{"\\u0000":1}', '{"a":[{"b":"\\u0000"}]}'])
async def test_nul_in_a_body_is_refused(client: httpx.AsyncClient, text: str) -> None:
    content = '{"note_id":"N1","text":%s,"amount":"1"}' % text  # noqa: UP031 - braces of JSON
    response = await client.put("/notes/N1", content=content, headers={"Content-Type": "application/json"})
    problem = problem_of(response, 422, "validation_failed")
    assert problem["errors"] == [{"field": "body", "message": "should not hold a NUL character"}]


async def test_the_letters_of_a_nul_escape_are_just_letters(client: httpx.AsyncClient) -> None:
    response = await client.put("/notes/N1", json=NOTE | {"text": "\\u0000"})
    assert response.status_code == 200


async def test_deep_documents_are_refused_and_broad_ones_are_not(client: httpx.AsyncClient) -> None:
    deep: object = "x"
    for _ in range(40):
        deep = [deep]
    problem = problem_of(await client.put("/notes/N1", json=NOTE | {"text": deep}), 422, "validation_failed")
    assert "deep" in problem["errors"][0]["message"]
    broad = problem_of(
        await client.put("/notes/N1", json=NOTE | {"text": [[]] * 40}), 422, "validation_failed"
    )
    assert broad["errors"][0]["field"] == "text"


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "é"])
async def test_an_idempotency_key_that_is_none_is_refused(client: httpx.AsyncClient, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    problem = problem_of(await client.put("/notes/N1", json=NOTE, headers=headers), 422, "validation_failed")
    assert problem["errors"][0]["field"] == "Idempotency-Key"


async def test_two_idempotency_keys_are_refused(client: httpx.AsyncClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    problem_of(await client.put("/notes/N1", json=NOTE, headers=headers), 422, "validation_failed")
    assert (await client.put("/notes/N1", json=NOTE, headers=headers[:1])).status_code == 200
