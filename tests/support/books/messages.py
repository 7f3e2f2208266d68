"""Whether a message was lost or had an effect twice: topics, inboxes, positions, dead letters against each other."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from aiokafka import ConsumerRecord

from support.books import queries
from support.books.fact_log import FactLog, headers_of
from support.books.quiet import READS, SCHEMAS
from support.load.records import Record

_ONCE_PER_EVENT: Final = (
    "release.billing-event.registered.v1",
    "release.billing-event.released.v1",
    "release.billing-event.invoiced.v1",
    "release.billing-event.reverted.v1",
    "release.billing-event.deleted.v1",
)
_ORDER: Final = _ONCE_PER_EVENT[:4]
_TOLD_OF: Final = """
select billing_event_id, stage, released_at is not null as was_released, document_id is not null as was_invoiced,
  stage <> 'deleted' or exists (select from release.billing_event_history as entry
    where entry.billing_event_id = event.billing_event_id and entry.what = 'registered') as was_registered
from release.billing_events as event
"""
_DOCUMENTS: Final = "select document_id, status, number from accounting_connector.documents"
_SENT_MAILS: Final = "select delivery_id, status from notifier.deliveries where status <> 'queued'"


async def facts_against_rows(connection: "asyncpg.Connection[Any]", told: FactLog) -> list[str]:
    """Each act has its fact on the topic exactly once, and an event's facts are in order."""
    counts = told.counts
    wanted: Counter[tuple[str, str]] = Counter()
    for row in await connection.fetch(_TOLD_OF):
        event_id = row["billing_event_id"]
        registered, released, invoiced, reverted, deleted = _ONCE_PER_EVENT
        wanted[registered, event_id] = int(row["was_registered"])  # not, if it came after its delete
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
    for event_id, by_type in told.places.items():
        in_order = [by_type[each] for each in _ORDER if each in by_type]
        if in_order != sorted(in_order):
            found.append(f"the facts of {event_id} are not in order: {by_type}")
    return sorted(found)


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
    connection: "asyncpg.Connection[Any]", letters: Sequence["ConsumerRecord[bytes, bytes]"]
) -> list[str]:
    """What a service has put aside is on its topic, in the original bytes, and told to the operators once."""
    found = []
    on_topic: dict[str, set[tuple[str, int, int]]] = defaultdict(set)
    for letter in letters:
        headers = headers_of(letter)
        place = (headers["dl_topic"], int(headers["dl_partition"]), int(headers["dl_offset"]))
        on_topic[headers["dl_service"]].add(place)
    for service, schema in SCHEMAS.items():
        rows = await connection.fetch(queries.DEAD_LETTERS.format(schema=schema))
        kept = {(row["topic"], row["partition"], row["offset"]) for row in rows}
        if kept != on_topic[service]:
            found.append(
                f"{service}: dead letters only in the table or only on the topic: {kept ^ on_topic[service]}"
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
    put_aside = Counter((headers_of(letter)["dl_topic"], letter.value) for letter in dead)
    found = []
    for record in sent:
        if any(record.message_id in taken[schema] for schema in readers[record.topic]):
            continue
        if put_aside[record.topic, record.value] > 0:
            put_aside[record.topic, record.value] -= 1
            continue
        found.append(f"{record.topic}: {record.message_id or record.value!r:.80} was sent and is nowhere")
    return found
