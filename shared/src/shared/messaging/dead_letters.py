"""Dead letters: what cannot be taken is kept, with origin and reason, and the stream goes on (domain.md section 7)."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import orjson
from aiokafka import ConsumerRecord

from shared.contracts.topics import dead_letters_topic, is_dead_letters_topic
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.message import Refusal

HEADER_PREFIX: Final = "dl_"

_RECORD: Final = """
insert into dead_letters (dead_letter_id, topic, partition, "offset", reason)
select * from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::text[])
on conflict do nothing
returning dead_letter_id
"""
_PRUNE: Final = "delete from dead_letters where recorded_at < now() - make_interval(days => $1)"


def identify(record: "ConsumerRecord[bytes, bytes]") -> str:
    """The id of a record's dead letter: a redelivery of the same record finds its dead letter there already.

    The offset alone is not enough: a topic that was made anew counts from zero again.
    """
    place = f"{record.topic}|{record.partition}|{record.offset}|{record.timestamp}|".encode()
    return hashlib.blake2b(place + (record.value or b""), digest_size=16).hexdigest()


async def write(work: UnitOfWork, service: str, refusals: Sequence[Refusal]) -> int:
    """Keep the refused records and queue them for the dead-letter topic, in this transaction; how many are new.

    A record of a dead-letter topic stays where it is: put aside once more, it would come back to whoever reads there.
    """
    by_id = {
        identify(refusal.record): refusal
        for refusal in refusals
        if not is_dead_letters_topic(refusal.record.topic)
    }
    if not by_id:
        return 0
    columns: tuple[list[Any], ...] = ([], [], [], [], [])
    for dead_letter_id, refusal in by_id.items():
        record = refusal.record
        values = (dead_letter_id, record.topic, record.partition, record.offset, refusal.reason[:500])
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    rows = await work.connection.fetch(_RECORD, *columns)
    for row in rows:
        _queue(work, service, row["dead_letter_id"], by_id[row["dead_letter_id"]])
    return len(rows)


def reason_headers(service: str, refusal: Refusal) -> dict[str, str]:
    """The headers that say why a record was put aside, and where it came from (contract.md section 1)."""
    record = refusal.record
    errors = list(refusal.errors) or [
        {"field": "", "message": refusal.reason}
    ]  # the empty field: the whole value
    return {
        "dl_reason": refusal.reason,
        "dl_errors": orjson.dumps(errors).decode(),
        "dl_topic": record.topic,
        "dl_partition": str(record.partition),
        "dl_offset": str(record.offset),
        "dl_service": service,
        "dl_time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def _queue(work: UnitOfWork, service: str, dead_letter_id: str, refusal: Refusal) -> None:
    record = refusal.record
    # A record that was replayed and failed again: only the newest reason is kept.
    original = [(name, value) for name, value in record.headers if not name.startswith(HEADER_PREFIX)]
    why = reason_headers(service, refusal).items()
    headers = original + [(name, text.encode()) for name, text in why]
    work.publish_dead_letter(dead_letter_id, dead_letters_topic(service), record.key, record.value, headers)


async def prune(
    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]", *, days: int
) -> None:
    """Forget the places of old dead letters; their topic keeps the letters themselves as long as it is set to."""
    await connection.execute(_PRUNE, days)
