"""Commands for runs or documents that are not known yet, kept as the records that they came as."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from aiokafka import ConsumerRecord

from billing_runs.store.connection import Connection
from shared.messaging.message import Origin
from shared.set_aside import LEFT_OUT

if TYPE_CHECKING:
    import asyncpg

_INSERT: Final = """
insert into waiting_commands (message_id, run_id, topic, partition, "offset", recorded_at_milliseconds, key, value,
  headers, deadline)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $10))
on conflict do nothing
"""
QUEUE: Final = "command"
_LOOK: Final = f"""
select * from waiting_commands as waiting where run_id in (select run_id from runs)
  and ($2::text is null or run_id = $2) and {LEFT_OUT.format(queue=QUEUE, item_id="waiting.run_id")}
order by topic, partition, "offset" limit $1 for update skip locked
"""  # noqa: S608 - the parts are constants
_REMOVE: Final = """
delete from waiting_commands as waiting
using unnest($1::text[], $2::int[], $3::bigint[]) as done (topic, partition, "offset")
where (waiting.topic, waiting.partition, waiting."offset") = (done.topic, done.partition, done."offset")
"""
_LOOK_FOR: Final = """
select * from waiting_commands where run_id = $1 order by topic, partition, "offset" for update
"""
_TAKE_EXPIRED: Final = f"""
delete from waiting_commands where message_id in (
  select message_id from waiting_commands as waiting where deadline <= now()
    and ($2::text is null or run_id = $2) and {LEFT_OUT.format(queue=QUEUE, item_id="waiting.run_id")}
  order by deadline, message_id limit $1 for update skip locked)
returning *
"""  # noqa: S608 - the parts are constants


async def insert_waiting(
    connection: Connection,
    identity: str,
    run_id: str,
    record: "ConsumerRecord[bytes, bytes]",
    *,
    wait_seconds: float,
) -> None:
    """Keep a command, known by its message's identity, until its run is known or its time has passed."""
    await connection.execute(
        _INSERT,
        identity,
        run_id,
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        [[name, value.hex() if value is not None else None] for name, value in record.headers],
        wait_seconds,
    )


async def look_at_waiting_for(connection: Connection, run_id: str) -> list["ConsumerRecord[bytes, bytes]"]:
    """The commands that wait for a run, locked, in the order in which they came."""
    return [_record_of(row) for row in await connection.fetch(_LOOK_FOR, run_id)]


async def take_expired(
    connection: Connection, *, limit: int, only: str | None = None
) -> list["ConsumerRecord[bytes, bytes]"]:
    """Take out commands whose time has passed; other transactions leave them alone meanwhile."""
    return _in_order(await connection.fetch(_TAKE_EXPIRED, limit, only))


async def look_at_waiting(
    connection: Connection, *, limit: int, only: str | None = None
) -> list["ConsumerRecord[bytes, bytes]"]:
    """Commands that wait although their run is known, the oldest first; locked, other transactions leave them alone."""
    return [_record_of(row) for row in await connection.fetch(_LOOK, limit, only)]


async def remove_waiting(connection: Connection, places: Sequence[Origin]) -> None:
    """Take out commands that have been done, by where they stood in their topic."""
    await connection.execute(
        _REMOVE,
        [place.topic for place in places],
        [place.partition for place in places],
        [place.offset for place in places],
    )


def _in_order(rows: Sequence["asyncpg.Record"]) -> list["ConsumerRecord[bytes, bytes]"]:
    ordered = sorted(rows, key=lambda row: (row["topic"], row["partition"], row["offset"]))
    return [_record_of(row) for row in ordered]


def _record_of(row: "asyncpg.Record") -> "ConsumerRecord[bytes, bytes]":
    headers: list[tuple[str, Any]] = [
        (name, bytes.fromhex(value) if value is not None else None) for name, value in row["headers"]
    ]
    return ConsumerRecord(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        timestamp=row["recorded_at_milliseconds"],
        timestamp_type=0,
        key=row["key"],
        value=row["value"],
        checksum=None,
        serialized_key_size=len(row["key"] or b""),
        serialized_value_size=len(row["value"] or b""),
        headers=tuple(headers),
    )
