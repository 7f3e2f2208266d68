"""The inbox: each message id has its effect once, whatever Kafka delivers again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from shared.messaging.message import Message, Refusal

Connection = Any

# Sorted, or two batches that claim the same ids in another order would deadlock.
_CLAIM: Final = """
insert into inbox (message_id, payload_hash)
select message_id, payload_hash from unnest($1::text[], $2::bytea[]) as claim (message_id, payload_hash)
order by message_id
on conflict do nothing
returning message_id
"""
_KNOWN: Final = "select message_id, payload_hash from inbox where message_id = any($1::text[])"
_UNCLAIM: Final = "delete from inbox where message_id = any($1::text[])"
_PRUNE: Final = """
delete from inbox where message_id in (
  select message_id from inbox where received_at < now() - make_interval(days => $1) limit $2
)
"""

OTHER_PAYLOAD: Final = "a message with this id was taken before with another payload"


@dataclass(slots=True)
class Claim:
    """What a batch's ids turned out to be: new, seen before, or used again for something else."""

    fresh: list[Message] = field(default_factory=list)
    duplicates: list[Message] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def _refuse(message: Message) -> Refusal:
    return Refusal(message.record, OTHER_PAYLOAD, [{"field": "ce_id", "message": OTHER_PAYLOAD}])


async def claim(
    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]", messages: Sequence[Message]
) -> Claim:
    """Claim the ids of a batch in the open transaction; waits for another transaction that holds one of them.

    Locks the inbox rows of the ids, in the order of the ids.
    """
    first: dict[str, Message] = {}
    result = Claim()
    for message in messages:
        earlier = first.setdefault(message.id, message)
        if earlier is message:
            continue
        if earlier.payload_hash == message.payload_hash:
            result.duplicates.append(message)
        else:
            result.refusals.append(_refuse(message))
    if not first:
        return result
    rows = await connection.fetch(_CLAIM, list(first), [message.payload_hash for message in first.values()])
    claimed = {row["message_id"] for row in rows}
    seen = [message_id for message_id in first if message_id not in claimed]
    if seen:
        known = {row["message_id"]: row["payload_hash"] for row in await connection.fetch(_KNOWN, seen)}
        for message_id in seen:
            message = first[message_id]
            if known.get(message_id) == message.payload_hash:
                result.duplicates.append(message)
            else:
                result.refusals.append(_refuse(message))
    result.fresh = [message for message_id, message in first.items() if message_id in claimed]
    return result


async def unclaim(
    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]", message_ids: Sequence[str]
) -> None:
    """Give ids back in the same transaction: their messages became dead letters and may be replayed, mended."""
    await connection.execute(_UNCLAIM, list(message_ids))


async def prune(
    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]", *, days: int, rows_max: int
) -> int:
    """Forget ids older than any replay can bring back; returns how many went."""
    status = await connection.execute(_PRUNE, days, rows_max)
    return int(status.rpartition(" ")[2])
