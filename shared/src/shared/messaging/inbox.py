"""The inbox: each message, known by its source and its id, has its effect once, whatever Kafka delivers again.

Nearly every id is used by one source. Whoever uses it first holds its row in `inbox`; what other sources send with the
same id stands in `inbox_shared_ids`. A row without a source is from before sources were kept, and matches any.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from shared.messaging.message import Message, Refusal

Connection = Any

# Sorted, or two batches that claim the same ids in another order would deadlock: first those of this table, then those
# of the other one.
_CLAIM: Final = """
insert into inbox (message_id, source, payload_hash)
select * from unnest($1::text[], $2::text[], $3::bytea[]) as claim (message_id, source, payload_hash)
order by message_id
on conflict do nothing
returning message_id
"""
_KNOWN: Final = "select message_id, source, payload_hash from inbox where message_id = any($1::text[])"
# The first row of an id has to outlive the others, or their messages would claim it anew.
_KEEP: Final = """
with held as (select message_id from inbox where message_id = any($1::text[]) order by message_id for no key update)
update inbox set received_at = now() from held where inbox.message_id = held.message_id
"""
_CLAIM_SHARED: Final = """
insert into inbox_shared_ids (message_id, source, payload_hash)
select * from unnest($1::text[], $2::text[], $3::bytea[]) as claim (message_id, source, payload_hash)
order by message_id, source
on conflict do nothing
returning message_id, source
"""
_KNOWN_SHARED: Final = """
select message_id, source, payload_hash from inbox_shared_ids where message_id = any($1::text[])
"""
_UNCLAIM: Final = "delete from inbox where message_id = any($1::text[])"
_UNCLAIM_SHARED: Final = """
delete from inbox_shared_ids as row using unnest($1::text[], $2::text[]) as told (message_id, source)
where row.message_id = told.message_id and row.source = told.source
"""
_HAND_ON: Final = """
update inbox set source = told.source, payload_hash = told.payload_hash
from unnest($1::text[], $2::text[], $3::bytea[]) as told (message_id, source, payload_hash)
where inbox.message_id = told.message_id
"""
# Waits for nobody: a row that a claim holds at this moment is being kept for longer.
_PRUNE: Final = """
delete from inbox where message_id in (
  select message_id from inbox where received_at < now() - make_interval(days => $1) limit $2
  for update skip locked
)
"""
_PRUNE_SHARED: Final = """
delete from inbox_shared_ids where ctid = any(array(
  select ctid from inbox_shared_ids where received_at < now() - make_interval(days => $1) limit $2
))
"""

OTHER_PAYLOAD: Final = "a message of this source with this id was taken before with another payload"

_Identity = tuple[str, str]


@dataclass(slots=True)
class Claim:
    """What a batch's messages turned out to be: new, seen before, or another content under a known source and id."""

    fresh: list[Message] = field(default_factory=list)
    duplicates: list[Message] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    sharing: frozenset[_Identity] = frozenset()
    """Those of the new ones whose id another source holds."""

    def settle(self, message: Message, known_hash: bytes) -> None:
        """Sort in a message that is known already."""
        if known_hash == message.payload_hash:
            self.duplicates.append(message)
        else:
            error = {"field": "ce_id", "message": OTHER_PAYLOAD}
            self.refusals.append(Refusal(message.record, OTHER_PAYLOAD, [error]))


def _identity(message: Message) -> _Identity:
    return message.id, message.source


def _columns(messages: Iterable[Message]) -> tuple[list[str], list[str], list[bytes]]:
    told = list(messages)
    return [each.id for each in told], [each.source for each in told], [each.payload_hash for each in told]


async def claim(
    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]", messages: Sequence[Message]
) -> Claim:
    """Claim the messages of a batch in the open transaction; waits for another transaction that holds one of them.

    Locks the inbox rows of the ids, in the order of the ids, then those of ids that several sources use.
    """
    first: dict[_Identity, Message] = {}
    result = Claim()
    for message in messages:
        earlier = first.setdefault(_identity(message), message)
        if earlier is not message:
            result.settle(message, earlier.payload_hash)
    if not first:
        return result
    by_id: dict[str, Message] = {}
    for message in first.values():
        by_id.setdefault(message.id, message)
    claimed = {row["message_id"] for row in await connection.fetch(_CLAIM, *_columns(by_id.values()))}
    seen = [m for m in first.values() if m.id not in claimed or by_id[m.id] is not m]
    if not seen:
        result.fresh = list(first.values())
        return result
    result.sharing = frozenset(_identity(message) for message in await _compare(connection, seen, result))
    settled = {_identity(message) for message in seen} - result.sharing
    result.fresh = [message for identity, message in first.items() if identity not in settled]
    return result


def _gone() -> asyncpg.SerializationError:
    """A row that was pruned at the very moment: the transaction is to be done again."""
    return asyncpg.SerializationError("an inbox row has gone while it was looked at")


async def _compare(connection: Connection, seen: Sequence[Message], result: Claim) -> list[Message]:
    """Settle those whose id was taken by their own source, or by one that was not kept; the new ones of the others."""
    known = {row["message_id"]: row for row in await connection.fetch(_KNOWN, [m.id for m in seen])}
    others = []
    for message in seen:
        row = known.get(message.id)
        if row is None:
            raise _gone()
        if row["source"] is None or row["source"] == message.source:
            result.settle(message, row["payload_hash"])
        else:
            others.append(message)
    if not others:
        return []
    await connection.execute(_KEEP, [message.id for message in others])
    rows = await connection.fetch(_CLAIM_SHARED, *_columns(others))
    claimed = {(row["message_id"], row["source"]) for row in rows}
    repeated = [message for message in others if _identity(message) not in claimed]
    if repeated:
        rows = await connection.fetch(_KNOWN_SHARED, [message.id for message in repeated])
        hashes = {(row["message_id"], row["source"]): row["payload_hash"] for row in rows}
        for message in repeated:
            if _identity(message) not in hashes:
                raise _gone()
            result.settle(message, hashes[_identity(message)])
    return [message for message in others if _identity(message) in claimed]


async def unclaim(
    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]",
    claim: Claim,
    messages: Iterable[Message],
) -> None:
    """Give new messages back in the transaction of their claim: they became dead letters and may be replayed, mended.

    Where another source's message of the batch shares the id, that one holds its row from now on.
    """
    given_back = {_identity(message) for message in messages}
    holders = [message_id for message_id, source in given_back if (message_id, source) not in claim.sharing]
    left_ids = set(holders)
    heirs = {
        message.id: message
        for message in claim.fresh
        if message.id in left_ids
        and _identity(message) in claim.sharing
        and _identity(message) not in given_back
    }
    await connection.execute(_UNCLAIM, [each for each in holders if each not in heirs])
    gone = [identity for identity in given_back if identity in claim.sharing]
    gone += [_identity(heir) for heir in heirs.values()]
    if heirs:
        await connection.execute(_HAND_ON, *_columns(heirs.values()))
    if gone:
        await connection.execute(_UNCLAIM_SHARED, [each[0] for each in gone], [each[1] for each in gone])


async def prune(
    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]", *, days: int, rows_max: int
) -> int:
    """Forget messages older than any replay can bring back; returns how many went."""
    pruned = 0
    for statement in (_PRUNE_SHARED, _PRUNE):
        status = await connection.execute(statement, days, rows_max)
        pruned += int(status.rpartition(" ")[2])
    return pruned
