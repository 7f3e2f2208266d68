"""Lists by cursor (contract.md section 2)."""

import base64
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.pages import PageRequest, encode_cursor, page_response, pages_by
from unit.shared.http.test_problems import problem_of


async def test_pages_follow_each_other_until_the_end(client: httpx.AsyncClient) -> None:
    numbers, cursor, sizes = [], None, []
    while True:
        parameters = {"limit": "3"} | ({} if cursor is None else {"cursor": cursor})
        page = (await client.get("/notes", params=parameters)).json()
        assert set(page) == {"items", "next_cursor"}
        sizes.append(len(page["items"]))
        numbers += [item["number"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert numbers == [0, 1, 2, 3, 4, 5, 6]
    assert sizes == [3, 3, 1]


async def test_a_page_that_ends_the_list_exactly_has_no_next_one(client: httpx.AsyncClient) -> None:
    assert (await client.get("/notes?limit=7")).json()["next_cursor"] is None


@pytest.mark.parametrize(
    "limit", ["0", "201", "-1", "1.0", "+5", " 5", "five", "", "\u0665", "1e2", "9" * 5000]
)
async def test_a_limit_is_a_whole_number_from_1_to_200(client: httpx.AsyncClient, limit: str) -> None:
    problem = problem_of(await client.get("/notes", params={"limit": limit}), 422, "validation_failed")
    assert problem["errors"][0]["field"] == "limit"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "é",
        "AAAAA",
        encode_cursor(()),
        encode_cursor((1,)),
        encode_cursor((1, "a", "b")),
        encode_cursor(("1", "a")),
        encode_cursor((1, 2)),
        encode_cursor((2**63, "a")),
        encode_cursor((1, "a\x00")),
        base64.urlsafe_b64encode(b'{"a":1}').decode(),
        base64.urlsafe_b64encode(b'[1.5,"a"]').decode(),
        base64.urlsafe_b64encode(b'[true,"a"]').decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
async def test_a_cursor_that_is_not_from_this_list_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    problem = problem_of(await client.get("/notes", params={"cursor": cursor}), 422, "invalid_cursor")
    assert problem["errors"][0]["field"] == "cursor"


@given(
    st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=200),
    st.integers(-(2**63), 2**63 - 1),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12),
    st.datetimes(timezones=st.just(UTC)),
    st.dates(),
)
async def test_a_cursor_gives_back_the_sort_key(
    text: str, number: int, amount: Decimal, instant: datetime, day: date
) -> None:
    key = (text, number, amount, instant, day, None)
    dependency: Any = pages_by(str, int, Decimal, datetime, date, str)
    page = await dependency.dependency(limit=10, cursor=encode_cursor(key))
    assert page == PageRequest(10, key)


def test_a_page_has_items_and_the_next_cursor() -> None:
    assert page_response([{"a": 1}], None) == {"items": [{"a": 1}], "next_cursor": None}
