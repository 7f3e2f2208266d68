"""Dead letters counted by service, topic and hour."""

from collections.abc import Collection, Iterable
from typing import Final

from notifier.domain.dead_letter_digest import DeadLetterDigest, DigestKey
from notifier.store.connection import Connection

_LOAD: Final = """
select digest.* from dead_letter_digests as digest
join unnest($1::text[], $2::text[], $3::timestamptz[]) as wanted (service, topic, hour) using (service, topic, hour)
order by service, topic, hour for no key update of digest
"""
_SAVE: Final = """
insert into dead_letter_digests (service, topic, hour, letters, first_reason, mail_due_at)
select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::text[], $6::timestamptz[])
order by 1, 2, 3
on conflict (service, topic, hour) do update set letters = excluded.letters
"""
_PRUNE: Final = "delete from dead_letter_digests where hour < now() - make_interval(days => $1)"


async def load_digests(
    connection: Connection, keys: Collection[DigestKey]
) -> dict[DigestKey, DeadLetterDigest]:
    """The digests of these keys that there are; locks their rows in the order of the keys."""
    rows = await connection.fetch(
        _LOAD, [key.service for key in keys], [key.topic for key in keys], [key.hour for key in keys]
    )
    return {
        (key := DigestKey(row["service"], row["topic"], row["hour"])): DeadLetterDigest(
            key, row["letters"], row["first_reason"], row["mail_due_at"]
        )
        for row in rows
    }


async def save_digests(connection: Connection, digests: Iterable[DeadLetterDigest]) -> None:
    """Write digests, new ones and those that have counted up; their rows must be locked."""
    rows = [
        (each.key.service, each.key.topic, each.key.hour, each.count, each.first_reason, each.mail_due_at)
        for each in digests
    ]
    await connection.execute(_SAVE, *map(list, zip(*rows, strict=True)))


async def prune_digests(connection: Connection, *, days: int) -> None:
    """Forget the digests of hours that long ago."""
    await connection.execute(_PRUNE, days)
