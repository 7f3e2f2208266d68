"""Custom fields: any JSON object within the bounds, and nothing that PostgreSQL cannot hold."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from shared.contracts.custom_fields import (
    FIELDS_DEPTH_MAX,
    FIELDS_KEYS_MAX,
    FIELDS_SIZE_MAX,
    check_custom_fields,
)


def _refused(value: object) -> str:
    with pytest.raises(PydanticCustomError) as refused:
        check_custom_fields(value)
    return refused.value.message()


def _nested(depth: int) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(depth - 1):
        nested = {"a": nested}
    return nested


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": None, "b": True, "c": 1, "d": 1.5, "e": "text", "f": [1, [2, {}]], "g": {"h": "é"}},
        {"": ""},
        {"big": 2**63 - 1, "small": -(2**63 - 1)},
        {str(number): number for number in range(FIELDS_KEYS_MAX)},
        {"a": "x" * (FIELDS_SIZE_MAX - 1)},
        _nested(FIELDS_DEPTH_MAX),
    ],
)
def test_json_objects_are_taken_as_they_are(value: dict[str, Any]) -> None:
    assert check_custom_fields(value) == value


@pytest.mark.parametrize("value", [None, [], "text", 1, True, [{}]])
def test_what_is_no_object_is_refused(value: object) -> None:
    assert _refused(value) == "should be a JSON object"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("a\x00", "NUL"),
        ("\ud800", "lone surrogate"),
        (float("nan"), "NaN or infinity"),
        (float("-inf"), "NaN or infinity"),
        (2**63, "64 bits"),
        (-(2**63), "64 bits"),
        pytest.param(10**5_000, "64 bits", id="endless"),
        (b"bytes", "JSON values only"),
    ],
)
def test_what_cannot_be_held_is_refused_wherever_it_stands(value: Any, why: str) -> None:
    for holder in ({"a": value}, {"a": [1, value]}, {"a": {"b": [{"c": value}]}}):
        assert why in _refused(holder)


@pytest.mark.parametrize("key", ["a\x00", "\ud800"])
def test_keys_are_checked_like_texts(key: str) -> None:
    for holder in ({key: 1}, {"a": [{key: 1}]}):
        assert "should hold no" in _refused(holder)


def test_keys_are_texts() -> None:
    assert _refused({1: "a"}) == "should have text as keys"


@pytest.mark.parametrize(
    "value",
    [
        {str(number): number for number in range(FIELDS_KEYS_MAX + 1)},
        {"a": [{"b": 1} for _ in range(FIELDS_KEYS_MAX)]},
        {"a": "x" * FIELDS_SIZE_MAX},
        {"x" * FIELDS_SIZE_MAX: 1},
        {"a": [None] * FIELDS_SIZE_MAX},
        {"a": [[]] * FIELDS_SIZE_MAX},
    ],
)
def test_keys_and_size_are_bounded(value: dict[str, Any]) -> None:
    assert _refused(value) == "should have at most 200 keys and 65536 characters"


def test_depth_is_bounded() -> None:
    assert _refused(_nested(FIELDS_DEPTH_MAX + 1)) == "should be nested at most 10 deep"
    assert _refused({"a": json.loads("[" * 10 + "]" * 10)}) == "should be nested at most 10 deep"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    )
)
def test_what_is_taken_can_be_stored(value: Any) -> None:
    try:
        taken = check_custom_fields({"a": value})
    except PydanticCustomError:
        return
    stored = json.dumps(taken, allow_nan=False, ensure_ascii=False).encode()
    assert json.loads(stored) == {"a": value}
