"""What a record is taken for before anybody looks at its body: tombstones and frames (domain.md section 7)."""

import json

import pytest

from shared.contracts.catalogue import CATALOGUE
from shared.contracts.topics import COMPACTED
from shared.messaging.message import decode
from support.records import cloud_event_headers, raw_record

TYPE_OF = {entry.topic: entry.type for entry in CATALOGUE.values()}
TOPICS = sorted(TYPE_OF)


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("has_headers", [True, False], ids=["with headers", "bare"])
def test_a_null_value_is_left_out_of_compacted_topics_and_bad_input_on_others(
    topic: str, has_headers: bool
) -> None:
    record = raw_record(topic, None, cloud_event_headers(TYPE_OF[topic], "m") if has_headers else [])
    decoded = decode([record], frozenset({TYPE_OF[topic]}))
    assert decoded.messages == []
    if topic in COMPACTED:
        assert (decoded.ignored, decoded.refusals) == ([record], [])
    else:
        (refusal,) = decoded.refusals
        assert (refusal.record, decoded.ignored) == (record, [])


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("content_type", [None, "application/json", "application/cloudevents+json"])
def test_a_value_that_a_schema_registry_frames_says_so(topic: str, content_type: str | None) -> None:
    headers = cloud_event_headers(TYPE_OF[topic], "m") if content_type else []
    headers = [
        (name, content_type.encode() if name == "content-type" and content_type else value)
        for name, value in headers
    ]
    framed = b"\x00\x00\x00\x00\x07" + json.dumps({"version": 1}).encode()
    (refusal,) = decode([raw_record(topic, framed, headers)], frozenset({TYPE_OF[topic]})).refusals
    assert "framed by a schema registry" in refusal.reason
    assert "send the JSON alone" in refusal.reason
    assert [error["field"] for error in refusal.errors] == [""]


def test_the_identity_of_a_message_is_its_source_and_its_id() -> None:
    entry = CATALOGUE["psa.account.upserted.v1"]
    value = b'{"account_id":"A-1","version":1}'

    def identity(source: str, message_id: str) -> str:
        headers = cloud_event_headers(entry.type, message_id, source=source)
        (message,) = decode([raw_record(entry.topic, value, headers)], frozenset({entry.type})).messages
        return message.identity

    assert identity("one", "m") == identity("one", "m")
    assert len({identity("one", "m"), identity("two", "m"), identity("one", "n"), identity("on", "em")}) == 4
