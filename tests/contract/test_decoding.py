"""Bytes become a checked body or one ContractError, whatever they are (domain.md section 7)."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.samples import SAMPLES, sample
from shared.contracts.catalogue import CATALOGUE
from shared.contracts.decoding import (
    DEPTH_MAX,
    ERRORS_MAX,
    VALUE_BYTES_MAX,
    ContractError,
    decode_body,
    parse_object,
)
from shared.contracts.psa import BillingEventGenerated

GENERATED = CATALOGUE["psa.billing-event.generated.v1"]
SECRET = "canary-4711"


def _refused(value: bytes | None) -> ContractError:
    with pytest.raises(ContractError) as refused:
        decode_body(GENERATED, value)
    return refused.value


def _generated(**changes: Any) -> bytes:
    return json.dumps({**sample(GENERATED.type), **changes}).encode()


def _nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, "no value", id="tombstone"),
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"{", "not JSON", id="cut off"),
        pytest.param(b"{} {}", "not JSON", id="more than one value"),
        pytest.param(b"\xef\xbb\xbf{}", "not JSON", id="byte order mark"),
        pytest.param(b'{"a":"\xff"}', "UTF-8", id="not UTF-8"),
        pytest.param('{"a":"x"}'.encode("utf-16"), "not JSON", id="UTF-16"),
        pytest.param(b'{"a":"\\ud800"}', "not JSON", id="lone surrogate"),
        pytest.param(b"[]", "not a JSON object", id="list"),
        pytest.param(b"null", "not a JSON object", id="null"),
        pytest.param(b'{"a":NaN}', "not JSON", id="NaN"),
        pytest.param(b'{"a":-Infinity}', "not JSON", id="infinity"),
        pytest.param(b'{"a":1,"b":{"c":1,"c":2}}', "same key twice", id="duplicate key"),
        pytest.param(_nested(DEPTH_MAX + 1), "nested more than 50", id="too deep"),
        pytest.param(b"[" * 100_000, "not JSON", id="far too deep"),
        pytest.param(b'{"a":' + b"9" * 10_000 + b"}", "not JSON", id="endless integer"),
        pytest.param(b" " * (VALUE_BYTES_MAX + 1), "more than 8388608 bytes", id="too long"),
    ],
)
def test_what_is_no_object_is_refused(value: bytes | None, reason: str) -> None:
    assert reason in _refused(value).reason


def test_fifty_levels_are_read() -> None:
    assert list(parse_object(_nested(DEPTH_MAX))) == ["a"]


def test_many_brackets_are_not_deep() -> None:
    assert len(parse_object(json.dumps({"a": [{} for _ in range(10 * DEPTH_MAX)]}).encode())["a"]) == 500


def test_brackets_within_texts_are_not_levels() -> None:
    assert parse_object(json.dumps({"a": "[" * 1_000}).encode()) == {"a": "[" * 1_000}


def test_all_wrong_fields_are_named() -> None:
    body = sample(GENERATED.type)
    body["date"] = "20.11.2026"
    body["items"][0] |= {"amount": 1.5, "created_at": "2026-11-20T09:00:00"}
    del body["currency"]
    refused = _refused(json.dumps(body).encode())
    assert {error.field for error in refused.errors} == {
        "date",
        "currency",
        "items[0].amount",
        "items[0].created_at",
    }
    assert refused.reason.startswith("not a valid psa.billing-event.generated.v1: ")


def test_errors_are_bounded() -> None:
    items = [{"item_id": "i"}] * 1_000
    assert len(_refused(_generated(items=items)).errors) == ERRORS_MAX


@pytest.mark.parametrize("name", [name for name in sample(GENERATED.type) if name != "items"])
def test_errors_never_repeat_values(name: str) -> None:
    wrong: list[Any] = [SECRET + "\x00", [SECRET], {SECRET: SECRET * 30_000}, 4711.4711]
    seen = 0
    for value in wrong:
        try:
            decode_body(GENERATED, _generated(**{name: value}))
        except ContractError as refused:
            seen += 1
            told = refused.reason + str(refused) + repr(refused.errors)
            assert "canary" not in told
            assert "4711" not in told
    assert seen >= 3


def test_a_senders_own_key_is_cut_and_printable() -> None:
    body = {"job_id": "J-1", "select": {"batch_ids": ["B"]}, "x\n" * 1_000: 1}
    with pytest.raises(ContractError) as refused:
        decode_body(CATALOGUE["release.job.start.v1"], json.dumps(body).encode())
    (error,) = refused.value.errors
    assert len(error.field) == 200
    assert error.field.isprintable()


def test_bytes_that_are_too_many_items_are_refused() -> None:
    item = sample(GENERATED.type)["items"][0]
    items = [{**item, "item_id": f"I-{number}"} for number in range(20_001)]
    assert [error.field for error in _refused(_generated(items=items)).errors] == ["items"]
    read = decode_body(GENERATED, _generated(items=items[:-1]))
    assert isinstance(read, BillingEventGenerated)
    assert len(read.items) == 20_000


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_never_raise_anything_else(value: bytes) -> None:
    with pytest.raises(ContractError):
        decode_body(GENERATED, value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated_messages(draw: st.DrawFn) -> tuple[str, bytes]:
    """A sample with one member replaced by anything, or with some of its bytes replaced."""
    name = draw(st.sampled_from(sorted(SAMPLES)))
    body = sample(name)
    place: Any = body
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key] or draw(st.booleans()):
            break
        place = place[key]
    place[key] = draw(json_values)
    value = json.dumps(body).encode()
    if draw(st.booleans()):
        start = draw(st.integers(0, len(value)))
        value = value[:start] + draw(st.binary(max_size=8)) + value[start + draw(st.integers(0, 8)) :]
    return name, value


@given(mutated_messages())
@settings(max_examples=500, deadline=None)
def test_mutated_messages_are_read_or_refused(message: tuple[str, bytes]) -> None:
    name, value = message
    with suppress(ContractError):
        assert "\\u0000" not in decode_body(CATALOGUE[name], value).model_dump_json()
