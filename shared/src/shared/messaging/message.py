"""A received record, read: a message that a service acts on, or a reason why it cannot be one."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from aiokafka import ConsumerRecord
from pydantic import BaseModel

from shared.contracts.catalogue import CATALOGUE, MessageType
from shared.contracts.decoding import ContractError, FieldError, parse_object, refuse_framed, validate_body
from shared.contracts.envelope import Envelope, is_structured, parse_binary, parse_structured
from shared.contracts.topics import COMPACTED
from shared.database.unit_of_work import Cause

ModelOf = Callable[[MessageType, Mapping[str, Any]], type[BaseModel]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record stood."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Message:
    """A valid message: its envelope, its body as the contract's model, and where it came from.

    `content` is the body's JSON object as it came, for those who keep it; the empty one for what is not JSON.
    """

    envelope: Envelope
    body: Any
    origin: Origin
    payload_hash: bytes
    record: "ConsumerRecord[bytes, bytes]" = field(repr=False)
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def id(self) -> str:
        """The producer's id of the message (`ce_id`): another source may use the same for something else."""
        return self.envelope.id

    @property
    def source(self) -> str:
        """Who sent the message (`ce_source`); with its id it identifies it: seen again it has no second effect."""
        return self.envelope.source

    @property
    def identity(self) -> str:
        """Source and id in one, for tables that keep messages: 32 characters."""
        return hashlib.blake2b(f"{self.source}\x00{self.id}".encode(), digest_size=16).hexdigest()

    @property
    def type(self) -> str:
        """The type of the message (`ce_type`)."""
        return self.envelope.type

    @property
    def cause(self) -> Cause:
        """What to name as the cause of messages that this one leads to."""
        return Cause(
            causation_id=self.envelope.id,
            correlation_id=self.envelope.correlation_id or self.envelope.id,
            traceparent=self.envelope.traceparent,
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that cannot be taken, and why, in words and by field (domain.md section 7)."""

    record: "ConsumerRecord[bytes, bytes]"
    reason: str
    errors: Sequence[Mapping[str, str]] = ()


@dataclass(slots=True)
class Decoded:
    """A batch of records, sorted into what is acted on, what is refused, and what concerns other services."""

    messages: list[Message] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    ignored: list["ConsumerRecord[bytes, bytes]"] = field(default_factory=list)


def whole_model(message_type: MessageType, _body: Mapping[str, Any]) -> type[BaseModel]:
    """The contract's model of the type."""
    return message_type.body_model


def decode(
    records: Sequence["ConsumerRecord[bytes, bytes]"],
    handled: frozenset[str],
    model_of: ModelOf = whole_model,
) -> Decoded:
    """Read the records of a batch in order. Never raises for anything that a record can hold.

    A message of a type that its topic carries, but that is not `handled` here, is ignored without reading its body,
    and so is a null value on a compacted topic, whatever its headers.
    `model_of` says, of a type and a parsed body, what to read it with: a service that needs a part of a fact reads
    that part, which costs a fraction of the whole.
    """
    decoded = Decoded()
    handled = frozenset(
        handled
    )  # a union with a dict's keys is a set, whatever its type says, and has no hash
    for record in records:
        if record.value is None and record.topic in COMPACTED:
            decoded.ignored.append(record)
            continue
        if dict(record.headers).get("ce_type") in _types_left_aside(record.topic, handled):
            decoded.ignored.append(record)  # unread: most of what a service that watches others gets
            continue
        try:
            _decode_one(record, handled, model_of, decoded)
        except ContractError as error:
            errors = [{"field": each.field, "message": each.message} for each in error.errors]
            decoded.refusals.append(Refusal(record, error.reason, errors))
    return decoded


@lru_cache(maxsize=256)
def _types_left_aside(topic: str, handled: frozenset[str]) -> frozenset[bytes]:
    """The types that a topic carries and that are not handled here, as their header holds them."""
    carried = {entry.type for entry in CATALOGUE.values() if entry.topic == topic}
    return frozenset(name.encode() for name in carried - handled)


def _decode_one(
    record: "ConsumerRecord[bytes, bytes]", handled: frozenset[str], model_of: ModelOf, decoded: Decoded
) -> None:
    refuse_framed(record.value)  # before its headers: such serializers write none of ours
    body: dict[str, Any] | None = None
    if is_structured(record.headers):
        envelope, body = parse_structured(record.headers, record.value)
    else:
        envelope = parse_binary(record.headers)
    message_type = CATALOGUE.get(envelope.type)
    if message_type is None or message_type.topic != record.topic:
        reason = "this topic carries no message of this type"
        raise ContractError(reason, [FieldError("ce_type", reason)])
    if envelope.type not in handled:  # in structured mode, where the type is in the value
        decoded.ignored.append(record)
        return
    if body is None:
        body, payload = parse_object(record.value), record.value
    else:
        payload = json.dumps(body, sort_keys=True).encode()
    decoded.messages.append(
        Message(
            envelope=envelope,
            body=validate_body(message_type, body, model_of(message_type, body)),
            origin=Origin(record.topic, record.partition, record.offset),
            payload_hash=hashlib.blake2b(payload or b"", digest_size=16, person=b"payload").digest(),
            record=record,
            content=body,
        )
    )
