"""Kafka records as a producer would have made them, for tests that hand batches to the kit."""

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import ConsumerRecord

from shared.contracts.catalogue import CATALOGUE
from shared.ids import new_id

_offsets = itertools.count()

Headers = Sequence[tuple[str, bytes | None]]


def cloud_event_headers(
    message_type: str, message_id: str, *, source: str = "tests", **extensions: str
) -> list[tuple[str, bytes | None]]:
    """The headers of a CloudEvent in binary mode."""
    headers: list[tuple[str, bytes | None]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", message_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", message_type.encode()),
        ("content-type", b"application/json"),
    ]
    return headers + [(name, value.encode()) for name, value in extensions.items()]


def raw_record(
    topic: str,
    value: bytes | None,
    headers: Headers,
    *,
    key: bytes | None = b"key",
    partition: int = 0,
    offset: int | None = None,
) -> "ConsumerRecord[bytes, bytes]":
    """A record with exactly these bytes; offsets go up by themselves."""
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=next(_offsets) if offset is None else offset,
        timestamp=int(time.time() * 1000),
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=tuple(headers),
    )


def message_record(
    message_type: str,
    body: Mapping[str, Any],
    *,
    message_id: str | None = None,
    partition: int = 0,
    offset: int | None = None,
    source: str = "tests",
    **extensions: str,
) -> "ConsumerRecord[bytes, bytes]":
    """A valid message of the catalogue, on its topic, keyed as the contract says."""
    entry = CATALOGUE[message_type]
    key = str(body.get(entry.key_field, "key")).encode()
    headers = cloud_event_headers(message_type, message_id or new_id(), source=source, **extensions)
    value = json.dumps(body).encode()
    return raw_record(entry.topic, value, headers, key=key, partition=partition, offset=offset)
