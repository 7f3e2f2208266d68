"""The CloudEvents 1.0 envelope on Kafka, in binary and structured mode (contract.md section 1)."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from shared.contracts.base import Instant
from shared.contracts.decoding import ContractError, FieldError, parse_object

CONTENT_TYPE_JSON: Final = "application/json"
CONTENT_TYPE_STRUCTURED: Final = "application/cloudevents+json"
SPEC_VERSION: Final = "1.0"
ATTRIBUTE_LENGTH_MAX: Final = 255
SOURCE_LENGTH_MAX: Final = 1_000

Headers = Sequence[tuple[str, bytes | None]]

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_TRACEPARENT_LENGTH_MAX: Final = 255
_INSTANT: Final = TypeAdapter[datetime](Instant)
_JSON: Final = CONTENT_TYPE_JSON.encode()
_STRUCTURED: Final = CONTENT_TYPE_STRUCTURED.encode()
_REQUIRED: Final = ("specversion", "id", "source", "type")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What surrounds a body: who says it, what it is, what began and what caused it."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None


def is_structured(headers: Headers) -> bool:
    """Whether the headers say that the value is a whole CloudEvent (structured mode)."""
    value = dict(headers).get("content-type")
    return value is not None and value != _JSON and value[: len(_STRUCTURED)].lower() == _STRUCTURED


def parse_binary(headers: Headers) -> Envelope:
    """Read the envelope from the headers of a binary-mode message.

    Raises ContractError, and nothing else, if a needed header is missing, null, not UTF-8, given twice or not
    valid, or if the content type is given and is not JSON. Other headers that are broken are ignored.
    """
    found = dict(headers)
    if len(found) != len(headers):
        _refuse_twice(headers)
    if found.get("content-type", _JSON) != _JSON:
        _check_content_type(_needed(found, "content-type"), "content-type")
    specversion = _needed(found, "ce_specversion")
    message_id, source, message_type = (
        _needed(found, "ce_id"),
        _needed(found, "ce_source"),
        _needed(found, "ce_type"),
    )
    _check_needed("ce_", specversion, message_id, source, message_type)
    return Envelope(
        message_id,
        source,
        message_type,
        _bounded(_lenient(found.get("ce_subject"))),
        _moment(_lenient(found.get("ce_time"))),
        _bounded(_lenient(found.get("ce_correlationid"))),
        _bounded(_lenient(found.get("ce_causationid"))),
        _trace(_lenient(found.get("traceparent"))),
    )


def parse_structured(headers: Headers, value: bytes | None) -> tuple[Envelope, dict[str, Any]]:
    """Read the envelope and the parsed body (`data` or `data_base64`) from a structured-mode value.

    Raises ContractError, and nothing else, if the value is no CloudEvent with a JSON object in it.
    """
    event = parse_object(value)
    content_type = event.get("datacontenttype")
    if content_type is not None:
        _check_content_type(content_type, "datacontenttype")
    for name in _REQUIRED:
        if name not in event:
            raise _refused(name, "is missing")
        if type(event[name]) is not str:
            raise _refused(name, "should be text")
    _check_needed("", event["specversion"], event["id"], event["source"], event["type"])
    envelope = Envelope(
        id=event["id"],
        source=event["source"],
        type=event["type"],
        subject=_bounded(_if_text(event.get("subject"))),
        time=_moment(_if_text(event.get("time"))),
        correlation_id=_bounded(_if_text(event.get("correlationid"))),
        causation_id=_bounded(_if_text(event.get("causationid"))),
        traceparent=_trace(_lenient(dict(headers).get("traceparent")) or _if_text(event.get("traceparent"))),
    )
    return envelope, _structured_data(event)


def _structured_data(event: dict[str, Any]) -> dict[str, Any]:
    if "data_base64" in event:
        if "data" in event:
            raise _refused("data_base64", "should not be given beside data")
        encoded = event["data_base64"]
        if type(encoded) is not str:
            raise _refused("data_base64", "should be text")
        try:
            decoded = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise _refused("data_base64", "should be Base64") from None
        return parse_object(decoded)
    data = event.get("data")
    if type(data) is not dict:
        raise _refused("data", "should be a JSON object")
    return data


def _check_needed(prefix: str, specversion: str, message_id: str, source: str, message_type: str) -> None:
    if specversion != SPEC_VERSION:
        raise _refused(f"{prefix}specversion", f"should be {SPEC_VERSION}")
    for name, text, length_max in (
        ("id", message_id, ATTRIBUTE_LENGTH_MAX),
        ("type", message_type, ATTRIBUTE_LENGTH_MAX),
        ("source", source, SOURCE_LENGTH_MAX),
    ):
        if not 1 <= len(text) <= length_max:
            raise _refused(f"{prefix}{name}", f"should have 1 to {length_max} characters")
        if "\x00" in text:
            raise _refused(f"{prefix}{name}", "should hold no NUL character")


def _refused(name: str, message: str) -> ContractError:
    return ContractError(f"not a CloudEvent: {name} {message}", [FieldError(name, message)])


def _refuse_twice(headers: Headers) -> None:
    names = [name for name, _ in headers]
    for name in (*(f"ce_{needed}" for needed in _REQUIRED), "content-type"):
        if names.count(name) > 1:
            raise _refused(name, "is given more than once")


def _needed(found: Mapping[str, bytes | None], name: str) -> str:
    value = found.get(name)
    if value is None:
        raise _refused(name, "is null" if name in found else "is missing")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _refused(name, "is not UTF-8") from None


def _check_content_type(content_type: object, name: str) -> None:
    if content_type == CONTENT_TYPE_JSON:
        return
    if str(content_type).partition(";")[0].strip().lower() != CONTENT_TYPE_JSON:
        raise _refused(name, f"should be {CONTENT_TYPE_JSON}")


def _lenient(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _if_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _bounded(text: str | None) -> str | None:
    return (
        text if text is not None and 1 <= len(text) <= ATTRIBUTE_LENGTH_MAX and "\x00" not in text else None
    )


@lru_cache(maxsize=64)  # what a transaction publishes has one time
def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return _INSTANT.validate_python(text)
    except ValidationError:
        return None


def _trace(text: str | None) -> str | None:
    if text is None or len(text) > _TRACEPARENT_LENGTH_MAX or _TRACEPARENT.fullmatch(text) is None:
        return None
    return text
