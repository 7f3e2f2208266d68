"""Whether a message was lost or had an effect twice: topics, inboxes, positions, dead letters against each other."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg
from aiokafka import ConsumerRecord

from support.books import queries
from support.books.quiet import READS, SCHEMAS
from support.load.records import Record

FACT_TOPICS: Final = (
    "release.events",
    "accounting.events",
    "accounting.commands",
    "release.commands",
    "billing-runs.events",
    "notifier.events",
)
DEAD_LETTER_TOPICS: Final = tuple(f"{service}.dead-letters" for service in SCHEMAS)
_SOURCE: Final = "sluice/"

KafkaRecord = "ConsumerRecord[bytes, bytes]"
_ONCE_PER_EVENT: Final = (
    "release.billing-event.registered.v1",
    "release.billing-event.released.v1",
    "release.billing-event.invoiced.v1",
    "release.billing-event.reverted.v1",
    "release.billing-event.deleted.v1",
)
_ORDER: Final = _ONCE_PER_EVENT[:4]
_TOLD_OF: Final = """
select billing_event_id, stage, released_at is not null as was_released, document_id is not null as was_invoiced
from release.billing_events
"""
_DOCUMENTS: Final = "select document_id, status, number from accounting_connector.documents"
_SENT_MAILS: Final = "select delivery_id, status from notifier.deliveries where status <> 'queued'"


def header(record: "ConsumerRecord[bytes, bytes]", name: str) -> str:
    """A header's text; empty where there is none."""
    return next((value or b"" for each, value in record.headers if each == name), b"").decode(
        "utf-8", "replace"
    )


def repeated_otherwise(records: Iterable["ConsumerRecord[bytes, bytes]"]) -> list[str]:
    """Facts whose id was used for something else: a repetition must be identical."""
    first: dict[tuple[str, str], tuple[str, bytes | None, bytes | None]] = {}
    found = []
    for record in records:
        if not (source := header(record, "ce_source")).startswith(_SOURCE):
            continue
        message_id = header(record, "ce_id")
        said = (record.topic, record.key, record.value)
        if first.setdefault((source, message_id), said) != said:
            found.append(f"{record.topic}: the message {message_id} was repeated with another content")
    return found


def first_of_each(
    records: Iterable["ConsumerRecord[bytes, bytes]"],
) -> list[tuple[str, dict[str, Any], "ConsumerRecord[bytes, bytes]"]]:
    """The services' facts without their repetitions: type, body and record."""
    seen: set[str] = set()
    facts = []
    for record in records:
        message_id = header(record, "ce_id")
        if header(record, "ce_source").startswith(_SOURCE) and message_id not in seen:
            seen.add(message_id)
            facts.append((header(record, "ce_type"), json.loads(record.value or b"{}"), record))
    return facts


async def facts_against_rows(
    connection: "asyncpg.Connection[Any]", records: Sequence["ConsumerRecord[bytes, bytes]"]
) -> list[str]:
    """Each act has its fact on the topic exactly once, and an event's facts are in order."""
    counts: Counter[tuple[str, str]] = Counter()
    places: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for message_type, body, record in first_of_each(records):
        subject = _subject(message_type, body)
        counts[message_type, subject] += 1
        if message_type in _ORDER:
            places[subject].setdefault(message_type, (record.partition, record.offset))
    wanted: Counter[tuple[str, str]] = Counter()
    for row in await connection.fetch(_TOLD_OF):
        event_id = row["billing_event_id"]
        registered, released, invoiced, reverted, deleted = _ONCE_PER_EVENT
        wanted[registered, event_id] = 1
        wanted[released, event_id] = int(row["was_released"])
        wanted[invoiced, event_id] = int(row["was_invoiced"])
        wanted[reverted, event_id] = int(row["stage"] == "reverted")
        wanted[deleted, event_id] = int(row["stage"] == "deleted")
    for row in await connection.fetch(_DOCUMENTS):
        wanted["accounting.document.validated.v1", row["document_id"]] = int(row["status"] == "validated")
    for row in await connection.fetch(_SENT_MAILS):
        wanted[f"notifier.notification.{row['status']}.v1", row["delivery_id"]] = 1
    types = {message_type for message_type, _ in wanted}
    found = [
        f"{each[0]} of {each[1]}: {counts[each]} on the topic, {wanted[each]} wanted"
        for each in {each for each in counts if each[0] in types} | set(wanted)
        if counts[each] != wanted[each]
    ]
    for event_id, by_type in places.items():
        in_order = [by_type[each] for each in _ORDER if each in by_type]
        if in_order != sorted(in_order):
            found.append(f"the facts of {event_id} are not in order: {by_type}")
    return sorted(found)


def _subject(message_type: str, body: dict[str, Any]) -> str:
    if "billing_event" in body:
        return str(body["billing_event"]["billing_event_id"])
    for name in ("document_id", "billing_event_id", "notification_id"):
        if name in body and (name != "document_id" or message_type.startswith("accounting.document.")):
            return str(body[name])
    return ""


async def messages_against_counts(
    connection: "asyncpg.Connection[Any]", ends: dict[tuple[str, int], int]
) -> list[str]:
    """Every record of a topic is accounted for in every service that reads it (domain.md section 6, point 6)."""
    found = []
    for schema, topics in READS.items():
        found += [
            f"{schema}: {row['messages']} messages in the inbox, {row['applied']} counted as applied"
            for row in await connection.fetch(queries.INBOX_AGAINST_COUNTS.format(schema=schema))
        ]
        rows = await connection.fetch(queries.POSITIONS.format(schema=schema))
        for row in rows:
            counted = row["applied"] + row["duplicates"] + row["dead_letters"] + row["ignored"]
            end = ends[row["topic"], row["partition"]]
            if counted != end or row["next_offset"] != end:
                found.append(
                    f"{schema}: of {end} records of {row['topic']}/{row['partition']}, {counted} are accounted for, "
                    f"{row['next_offset']} read"
                )
        read = {(row["topic"], row["partition"]) for row in rows}
        found += [
            f"{schema} has never read {place[0]}/{place[1]}, which holds {end} records"
            for place, end in ends.items()
            if place[0] in topics and end and place not in read
        ]
    return found


async def dead_letters_against_topics(
    connection: "asyncpg.Connection[Any]", records: Sequence["ConsumerRecord[bytes, bytes]"]
) -> list[str]:
    """What a service has put aside is on its topic, in the original bytes, and told to the operators once."""
    found = []
    letters: dict[str, set[tuple[str, int, int]]] = defaultdict(set)
    for record in records:
        place = (
            header(record, "dl_topic"),
            int(header(record, "dl_partition")),
            int(header(record, "dl_offset")),
        )
        letters[header(record, "dl_service")].add(place)
    for service, schema in SCHEMAS.items():
        rows = await connection.fetch(queries.DEAD_LETTERS.format(schema=schema))
        kept = {(row["topic"], row["partition"], row["offset"]) for row in rows}
        if kept != letters[service]:
            found.append(
                f"{service}: dead letters only in the table or only on the topic: {kept ^ letters[service]}"
            )
        told = await connection.fetchval(
            "select coalesce(sum(letters), 0) from notifier.dead_letter_digests where service = $1", service
        )
        if told != len(kept):
            found.append(f"{service}: {len(kept)} dead letters, operators were told of {told}")
    return found


async def sent_against_stored(
    connection: "asyncpg.Connection[Any]",
    sent: Sequence[Record],
    dead: Sequence["ConsumerRecord[bytes, bytes]"],
) -> list[str]:
    """Whatever was sent has been taken by a service that reads its topic, or is a dead letter."""
    readers = {
        topic: [schema for schema in READS if topic in READS[schema]] for topic in {r.topic for r in sent}
    }
    taken = {
        schema: {
            row["message_id"] for row in await connection.fetch(f"select message_id from {schema}.inbox")
        }
        for schema in SCHEMAS.values()
    }
    put_aside = Counter((header(letter, "dl_topic"), letter.value) for letter in dead)
    found = []
    for record in sent:
        if any(record.message_id in taken[schema] for schema in readers[record.topic]):
            continue
        if put_aside[record.topic, record.value] > 0:
            put_aside[record.topic, record.value] -= 1
            continue
        found.append(f"{record.topic}: {record.message_id or record.value!r:.80} was sent and is nowhere")
    return found
