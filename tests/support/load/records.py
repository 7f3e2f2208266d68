"""Records as any Kafka client would send them: CloudEvents in binary mode, whose ids stay when they are repeated."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Headers = tuple[tuple[str, bytes | None], ...]

_SOURCE: Final = b"/tests/load"
_TIME: Final = b"2026-11-20T09:00:00Z"


@dataclass(frozen=True, slots=True)
class Record:
    """What goes onto a topic, byte for byte; `message_id` is its `ce_id` where it has one."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    message_id: str = ""


def cloud_event(topic: str, key: str, message_type: str, message_id: str, body: Mapping[str, Any]) -> Record:
    """A message of the contract (contract.md section 1)."""
    return Record(
        topic, key.encode(), json.dumps(body).encode(), event_headers(message_type, message_id), message_id
    )


def event_headers(message_type: str, message_id: str) -> Headers:
    """The headers of a CloudEvent in binary mode."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", message_id.encode()),
        ("ce_source", _SOURCE),
        ("ce_type", message_type.encode()),
        ("ce_time", _TIME),
        ("content-type", b"application/json"),
    )
