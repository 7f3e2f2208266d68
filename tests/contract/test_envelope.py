"""The CloudEvents envelope: what a message's headers, or a structured value, must and may say."""

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from hypothesis import given
from hypothesis import strategies as st

from contract.samples import SAMPLES
from shared.contracts.decoding import ContractError
from shared.contracts.envelope import Envelope, Headers, is_structured, parse_binary, parse_structured

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BINARY: dict[str, bytes | None] = {
    "ce_specversion": b"1.0",
    "ce_id": b"m-1",
    "ce_source": b"/psa",
    "ce_type": b"psa.exchange-rate.upserted.v1",
    "ce_subject": b"GBP-EUR",
    "ce_time": b"2026-11-20T10:00:00+01:00",
    "ce_correlationid": b"J-1",
    "ce_causationid": b"m-0",
    "content-type": b"application/json",
    "traceparent": TRACEPARENT.encode(),
}
ENVELOPE = Envelope(
    id="m-1",
    source="/psa",
    type="psa.exchange-rate.upserted.v1",
    subject="GBP-EUR",
    time=datetime(2026, 11, 20, 9, tzinfo=UTC),
    correlation_id="J-1",
    causation_id="m-0",
    traceparent=TRACEPARENT,
)
RATE = SAMPLES["psa.exchange-rate.upserted.v1"]
STRUCTURED: dict[str, Any] = {
    "specversion": "1.0",
    "id": "m-1",
    "source": "/psa",
    "type": "psa.exchange-rate.upserted.v1",
    "subject": "GBP-EUR",
    "time": "2026-11-20T10:00:00+01:00",
    "correlationid": "J-1",
    "causationid": "m-0",
    "traceparent": TRACEPARENT,
    "datacontenttype": "application/json",
    "data": RATE,
}
STRUCTURED_HEADERS: Headers = [("content-type", b"application/cloudevents+json; charset=utf-8")]


def _headers(**changes: bytes | None) -> Headers:
    return list({**BINARY, **changes}.items())


def _without(*names: str) -> Headers:
    return [(name, value) for name, value in BINARY.items() if name not in names]


def _refused_header(headers: Headers) -> str:
    with pytest.raises(ContractError) as refused:
        parse_binary(headers)
    (error,) = refused.value.errors
    assert error.field in refused.value.reason
    return error.field


def test_binary_mode_is_read() -> None:
    assert parse_binary(_headers()) == ENVELOPE
    assert not is_structured(_headers())


def test_only_four_headers_are_needed() -> None:
    needed = ("ce_specversion", "ce_id", "ce_source", "ce_type")
    envelope = parse_binary([(name, BINARY[name]) for name in needed])
    assert envelope == Envelope("m-1", "/psa", "psa.exchange-rate.upserted.v1")


@pytest.mark.parametrize("name", ["ce_specversion", "ce_id", "ce_source", "ce_type"])
def test_a_needed_header_that_is_broken_is_named(name: str) -> None:
    assert _refused_header(_without(name)) == name
    for value in (None, b"\xff\xfe", b"", b"x" * 1_001):
        assert _refused_header(_headers(**{name: value})) == name
    assert _refused_header([*_headers(), (name, b"again")]) == name


@pytest.mark.parametrize("name", ["ce_id", "ce_source", "ce_type"])
def test_a_needed_header_holds_no_nul(name: str) -> None:
    assert _refused_header(_headers(**{name: b"a\x00b"})) == name


def test_an_id_is_any_text_of_at_most_255_characters() -> None:
    longest = "é" * 255
    assert parse_binary(_headers(ce_id=longest.encode())).id == longest
    assert _refused_header(_headers(ce_id=(longest + "é").encode())) == "ce_id"


@pytest.mark.parametrize("value", [b"0.3", b"1", b"1.0 ", b"2.0"])
def test_another_version_of_cloudevents_is_refused(value: bytes) -> None:
    assert _refused_header(_headers(ce_specversion=value)) == "ce_specversion"


@pytest.mark.parametrize(
    "content_type",
    [b"application/json", b"application/json; charset=utf-8", b"Application/JSON;charset=UTF-8"],
)
def test_json_is_taken(content_type: bytes) -> None:
    assert parse_binary(_headers(**{"content-type": content_type})) == ENVELOPE


@pytest.mark.parametrize("content_type", [b"text/plain", b"", b"application/jsonx", b"\xff", None])
def test_another_content_type_is_refused(content_type: bytes | None) -> None:
    assert _refused_header(_headers(**{"content-type": content_type})) == "content-type"


@pytest.mark.parametrize(
    "name", ["ce_subject", "ce_time", "ce_correlationid", "ce_causationid", "traceparent", "x-other"]
)
@pytest.mark.parametrize("value", [None, b"\xff", b"", b"\x00", b"x" * 2_000])
def test_other_headers_that_are_broken_are_ignored(name: str, value: bytes | None) -> None:
    field = {"ce_correlationid": "correlation_id", "ce_causationid": "causation_id"}.get(
        name, name.removeprefix("ce_")
    )
    envelope = parse_binary(_headers(**{name: value}))
    assert envelope.id == "m-1"
    assert getattr(envelope, field, None) is None


def test_structured_mode_is_read() -> None:
    assert is_structured(STRUCTURED_HEADERS)
    assert parse_structured(STRUCTURED_HEADERS, json.dumps(STRUCTURED).encode()) == (ENVELOPE, RATE)


def test_structured_data_may_be_base64() -> None:
    encoded = base64.b64encode(json.dumps(RATE).encode()).decode()
    event = {**STRUCTURED, "data_base64": encoded}
    del event["data"]
    assert parse_structured(STRUCTURED_HEADERS, json.dumps(event).encode()) == (ENVELOPE, RATE)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": None}, "id"),
        ({"id": 7}, "id"),
        ({"id": ""}, "id"),
        ({"type": "a\x00"}, "type"),
        ({"specversion": "0.3"}, "specversion"),
        ({"datacontenttype": "text/plain"}, "datacontenttype"),
        ({"datacontenttype": 1}, "datacontenttype"),
        ({"data": "text"}, "data"),
        ({"data": None}, "data"),
        ({"data_base64": "e30="}, "data_base64"),
        ({"data": None, "data_base64": "e30="}, "data_base64"),
    ],
)
def test_a_broken_structured_event_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ContractError) as refused:
        parse_structured(STRUCTURED_HEADERS, json.dumps({**STRUCTURED, **changes}).encode())
    assert [error.field for error in refused.value.errors] == [field]


@pytest.mark.parametrize("encoded", ["%%%", "e3", "é", 7, "W10="])
def test_broken_base64_is_refused(encoded: object) -> None:
    event = {**STRUCTURED, "data_base64": encoded}
    del event["data"]
    with pytest.raises(ContractError):
        parse_structured(STRUCTURED_HEADERS, json.dumps(event).encode())


@given(st.lists(st.tuples(st.sampled_from([*BINARY, "x"]), st.none() | st.binary(max_size=30))))
def test_no_headers_raise_anything_else(changes: list[tuple[str, bytes | None]]) -> None:
    for headers in (changes, [*_headers(), *changes], _headers(**dict(changes))):
        with suppress(ContractError):
            assert parse_binary(headers).id


@given(
    st.fixed_dictionaries({}, optional={name: st.none() | st.text() | st.integers() for name in STRUCTURED})
    | st.just(STRUCTURED)
)
def test_no_structured_value_raises_anything_else(event: dict[str, Any]) -> None:
    for value in ({**STRUCTURED, **event}, event):
        with suppress(ContractError):
            assert parse_structured(STRUCTURED_HEADERS, json.dumps(value).encode())[0].id


def test_the_cloudevents_sdk_reads_the_header_form() -> None:
    headers = {name: value for name, value in BINARY.items() if value is not None and name != "traceparent"}
    event = from_kafka_event(KafkaMessage(headers=headers, key=b"GBP-EUR", value=json.dumps(RATE).encode()))
    assert event.get_id() == ENVELOPE.id
    assert event.get_source() == ENVELOPE.source
    assert event.get_type() == ENVELOPE.type
    assert event.get_subject() == ENVELOPE.subject
    assert event.get_time() == ENVELOPE.time
    assert event.get_extension("correlationid") == ENVELOPE.correlation_id
    assert event.get_extension("causationid") == ENVELOPE.causation_id
    assert event.get_data() == RATE
