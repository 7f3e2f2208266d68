"""The contract as an AsyncAPI 3.0 document, made from the catalogue.

`python -m shared.contracts.asyncapi > docs/contract/asyncapi.json` writes it anew.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from shared.contracts import topics
from shared.contracts.base import Closed
from shared.contracts.catalogue import CATALOGUE, MessageType, message_types_of
from shared.contracts.envelope import ATTRIBUTE_LENGTH_MAX, CONTENT_TYPE_JSON, SOURCE_LENGTH_MAX, SPEC_VERSION

VERSION: Final = "1.0.0"

References = Mapping[tuple[Any, JsonSchemaMode], dict[str, Any]]

_DEAD_LETTER: Final = "dead-letter"
_REFERENCE: Final = "#/components/schemas/{model}"
_WRITERS: Final = {
    topics.RELEASE_EVENTS: "release",
    topics.ACCOUNTING_EVENTS: "accounting-connector",
    topics.BILLING_RUNS_EVENTS: "billing-runs",
    topics.NOTIFIER_EVENTS: "notifier",
}
"""Who writes each topic of facts; every other topic is what Sluice receives."""


def asyncapi_document() -> dict[str, Any]:
    """The document: a channel per topic, a message per type, a schema per model, and one operation per topic."""
    references, schemas = _schemas()
    channels = {topic: _channel(topic) for topic in _topics()}
    channels |= {
        topics.dead_letters_topic(service): _dead_letters_channel(service) for service in topics.SERVICES
    }
    messages = {entry.type: _message(entry, references) for entry in CATALOGUE.values()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sluice",
            "version": VERSION,
            "description": "Releases billing events and turns them into invoices: every message on Kafka.",
        },
        "defaultContentType": CONTENT_TYPE_JSON,
        "channels": channels,
        "operations": {_operation_name(topic): _operation(topic) for topic in channels},
        "components": {
            "messages": {**messages, _DEAD_LETTER: _dead_letter()},
            "messageTraits": {"cloudEvent": _cloud_event_trait()},
            "schemas": schemas,
        },
    }


def _topics() -> list[str]:
    return list(dict.fromkeys(entry.topic for entry in CATALOGUE.values()))


def _mode(entry: MessageType) -> JsonSchemaMode:
    return "serialization" if entry.topic in _WRITERS else "validation"


def _schemas() -> tuple[References, dict[str, Any]]:
    models = list(dict.fromkeys((entry.body_model, _mode(entry)) for entry in CATALOGUE.values()))
    references, definitions = models_json_schema(models, ref_template=_REFERENCE)
    return references, definitions["$defs"]


def _channel(topic: str) -> dict[str, Any]:
    return {
        "address": topic,
        "messages": {
            entry.type: {"$ref": f"#/components/messages/{entry.type}"} for entry in message_types_of(topic)
        },
    }


def _dead_letters_channel(service: str) -> dict[str, Any]:
    return {
        "address": topics.dead_letters_topic(service),
        "description": f"What the {service} service could not take, with why.",
        "messages": {_DEAD_LETTER: {"$ref": f"#/components/messages/{_DEAD_LETTER}"}},
    }


def _action(topic: str) -> str:
    return "send" if topic in _WRITERS or topics.is_dead_letters_topic(topic) else "receive"


def _operation_name(topic: str) -> str:
    return f"{_action(topic)}-{topic}"


def _operation(topic: str) -> dict[str, Any]:
    operation: dict[str, Any] = {"action": _action(topic), "channel": {"$ref": f"#/channels/{topic}"}}
    if topic in _WRITERS:
        operation["summary"] = f"Facts of the {_WRITERS[topic]} service."
    return operation


def _message(entry: MessageType, references: References) -> dict[str, Any]:
    unknown = "refused" if issubclass(entry.body_model, Closed) else "ignored"
    return {
        "name": entry.type,
        "title": entry.body_model.__name__,
        "description": f"{entry.description}\n\nKey: {entry.key_field}. Unknown fields are {unknown}.",
        "contentType": CONTENT_TYPE_JSON,
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "bindings": _key(f"What {entry.key_field} of the body says."),
        "payload": references[entry.body_model, _mode(entry)],
    }


def _key(description: str) -> dict[str, Any]:
    return {"kafka": {"key": {"type": "string", "description": description}, "bindingVersion": "0.5.0"}}


def _dead_letter() -> dict[str, Any]:
    texts = {
        "dl_reason": "Why it could not be taken, in words.",
        "dl_errors": "The same by field: JSON, a list of {field, message}.",
        "dl_topic": "The topic that it came from.",
        "dl_partition": "The partition there.",
        "dl_offset": "The offset there.",
        "dl_service": "Who could not take it.",
        "dl_time": "When that was.",
    }
    properties = {name: {"type": "string", "description": text} for name, text in texts.items()}
    return {
        "name": _DEAD_LETTER,
        "title": "DeadLetter",
        "description": "The original key, value and headers, whatever they are, and headers that say why.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "required": list(texts), "properties": properties},
        "bindings": _key("The original key."),
        "payload": {"description": "The original bytes; none for a record without a value."},
    }


def _cloud_event_trait() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": ATTRIBUTE_LENGTH_MAX}
    return {
        "description": "CloudEvents 1.0, Kafka protocol binding, binary mode.",
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
            "properties": {
                "ce_specversion": {"type": "string", "const": SPEC_VERSION},
                "ce_id": {
                    **text,
                    "description": "With ce_source it identifies the message: seen again it has no second effect; "
                    "the same two with another payload are a dead letter.",
                },
                "ce_source": {**text, "maxLength": SOURCE_LENGTH_MAX},
                "ce_type": text,
                "ce_subject": text,
                "ce_time": {"type": "string", "format": "date-time"},
                "ce_correlationid": {**text, "description": "The command or job that began it."},
                "ce_causationid": {**text, "description": "The message that caused this one."},
                "traceparent": {"type": "string", "description": "W3C trace context."},
                "content-type": {"type": "string"},
            },
        },
    }


def rendered_document() -> str:
    """The document as the file holds it."""
    return json.dumps(asyncapi_document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(rendered_document())
