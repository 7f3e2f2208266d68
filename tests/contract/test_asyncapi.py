"""The published AsyncAPI document is the contract that the code holds."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contract.samples import SAMPLES, sample
from shared.contracts.asyncapi import asyncapi_document, rendered_document
from shared.contracts.catalogue import CATALOGUE

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
    assert published == {(entry.topic, entry.type) for entry in CATALOGUE.values()}


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
