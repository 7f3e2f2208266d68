"""The published AsyncAPI document is the contract that the code holds."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contract.samples import SAMPLES, sample
from shared.contracts import topics
from shared.contracts.asyncapi import asyncapi_document, rendered_document
from shared.contracts.catalogue import CATALOGUE
from shared.messaging.dead_letters import reason_headers
from shared.messaging.message import Refusal
from sluice.topics import read_topics
from support.records import message_record

COMMITTED = Path(__file__).parents[2] / "docs" / "contract" / "asyncapi.json"
DOCUMENT = asyncapi_document()


def _schema(message_type: str) -> dict[str, Any]:
    payload = DOCUMENT["components"]["messages"][message_type]["payload"]
    return {**payload, "components": DOCUMENT["components"]}


def test_the_committed_document_is_the_codes() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == rendered_document(), (
        "write it anew: python -m shared.contracts.asyncapi > docs/contract/asyncapi.json"
    )


def test_every_message_type_is_published_on_its_channel() -> None:
    published = {
        (channel["address"], name)
        for channel in DOCUMENT["channels"].values()
        for name in channel["messages"]
    }
    letters = {(topics.dead_letters_topic(service), "dead-letter") for service in topics.SERVICES}
    assert published == {(entry.topic, entry.type) for entry in CATALOGUE.values()} | letters


def test_every_topic_is_there() -> None:
    assert set(DOCUMENT["channels"]) == {topic.name for topic in read_topics()}
    for operation in DOCUMENT["operations"].values():
        topic = operation["channel"]["$ref"].removeprefix("#/channels/")
        sends = topic.endswith((".events", ".dead-letters")) and topic != topics.PSA_BILLING_EVENTS
        assert operation["action"] == ("send" if sends else "receive"), topic


def test_a_dead_letter_has_the_headers_that_are_written() -> None:
    headers = DOCUMENT["components"]["messages"]["dead-letter"]["headers"]
    refusal = Refusal(message_record("psa.account.upserted.v1", {}), "not valid")
    assert set(headers["required"]) == set(reason_headers("release", refusal))


def test_every_reference_leads_somewhere() -> None:
    references = {
        node["$ref"]
        for node in _objects(json.loads(rendered_document()))
        if isinstance(node.get("$ref"), str)
    }
    assert len(references) > len(CATALOGUE)
    for reference in references:
        found: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


@pytest.mark.parametrize("message_type", CATALOGUE)
def test_the_schema_takes_the_sample(message_type: str) -> None:
    jsonschema.validate(SAMPLES[message_type], _schema(message_type))


@pytest.mark.parametrize("message_type", CATALOGUE)
def test_the_schema_refuses_an_empty_body(message_type: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({}, _schema(message_type))


def test_the_schema_refuses_fractional_numbers_as_amounts() -> None:
    body = sample("psa.billing-event.generated.v1")
    body["items"][0]["amount"] = 1.5
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, _schema("psa.billing-event.generated.v1"))


def _objects(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        return [node, *(found for member in node.values() for found in _objects(member))]
    if isinstance(node, list):
        return [found for member in node for found in _objects(member)]
    return []
