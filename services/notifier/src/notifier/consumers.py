"""The streams that the notifier reads: facts of the other services, and everybody's dead letters."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from aiokafka import ConsumerRecord

from notifier.domain.dead_letter_digest import DeadLetter
from notifier.domain.notices import one_line
from notifier.handlers.dead_letters import take_dead_letters
from notifier.handlers.facts import HANDLED, take_facts
from notifier.handlers.telling import Audiences
from shared.contracts import topics
from shared.contracts.envelope import Envelope
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.batches import Line
from shared.messaging.message import Decoded, Message, Origin

DEAD_LETTERS: Final = {topics.dead_letters_topic(service): service for service in topics.SERVICES}
"""Whose dead letters stand on which topic."""

FACTS_PACE_SECONDS: Final = 0.2
"""Nobody reads a mail or an alert faster; most facts tell nobody anything, and are only counted."""

_UNKNOWN: Final = "unknown"
_TOPIC_CHARACTERS_MAX: Final = 249
_YEARS: Final = range(2000, 2100)


def facts_line(audiences: Audiences) -> Line:
    """What people are told of (domain.md section 8)."""

    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        await take_facts(work, messages, audiences)

    read = (topics.RELEASE_EVENTS, topics.ACCOUNTING_EVENTS, topics.BILLING_RUNS_EVENTS)
    return Line("facts", read, HANDLED, handle, pace_seconds=FACTS_PACE_SECONDS)


def dead_letters_line(audiences: Audiences) -> Line:
    """What the services could not take, the notifier among them."""

    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        await take_dead_letters(work, [message.body for message in messages], audiences)

    return Line("dead-letters", tuple(DEAD_LETTERS), frozenset(), handle, decode=decode_dead_letters)


def decode_dead_letters(
    records: Sequence["ConsumerRecord[bytes, bytes]"], _handled: frozenset[str]
) -> Decoded:
    """Every record of a dead-letter topic is a letter, however its headers are: none is refused, none left aside."""
    return Decoded(messages=[_letter_of(record) for record in records])


def _letter_of(record: "ConsumerRecord[bytes, bytes]") -> Message:
    headers = {name: value for name, value in record.headers if name.startswith("dl_") and value is not None}
    service = DEAD_LETTERS.get(record.topic, _UNKNOWN)
    letter = DeadLetter(
        service=service,
        topic=_topic(headers),
        time=_time(headers) or _moment_of(record),
        reason=one_line(_text(headers, "dl_reason")) or "no reason is given",
    )
    place = [_text(headers, name) for name in ("dl_topic", "dl_partition", "dl_offset", "dl_time")]
    if not all(place):  # nobody of ours has written it: its own place tells it apart
        place = [str(record.partition), str(record.offset), str(record.timestamp)]
    # A relay may send the same letter twice, which is then the same letter with another offset.
    identity = hashlib.blake2b("\x1f".join((record.topic, *place)).encode(), digest_size=16)
    identity.update(record.value or b"")
    return Message(
        envelope=Envelope(id=f"dead-letter/{identity.hexdigest()}", source=service, type="dead-letter"),
        body=letter,
        origin=Origin(record.topic, record.partition, record.offset),
        payload_hash=identity.digest(),
        record=record,
    )


def _text(headers: Mapping[str, bytes], name: str) -> str:
    return headers.get(name, b"").decode(errors="replace")


def _topic(headers: Mapping[str, bytes]) -> str:
    topic = _text(headers, "dl_topic")
    is_topic = topic.isascii() and topic.replace("-", "").replace(".", "").replace("_", "").isalnum()
    return topic if is_topic and len(topic) <= _TOPIC_CHARACTERS_MAX else _UNKNOWN


def _time(headers: Mapping[str, bytes]) -> datetime | None:
    try:
        time = datetime.fromisoformat(_text(headers, "dl_time")).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return time if time.year in _YEARS else None


def _moment_of(record: "ConsumerRecord[bytes, bytes]") -> datetime:
    try:
        time = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)
    return time if time.year in _YEARS else datetime.now(UTC)
