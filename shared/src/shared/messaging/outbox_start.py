"""From where the relay reads its outbox, so that it does not read past all that it has deleted, time and again.

A deleted row stays in place until no transaction can see it and a vacuum has come by. But a row can also come late: its
number is taken before its transaction commits. Whoever takes a number holds the table's lock for writers until then. So
once a row was read, and all who held that lock afterwards have ended, nothing can come up to the row's number any more.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import asyncpg

FOLLOW_SECONDS: Final = 0.2
WHOLE_SECONDS: Final = 10.0
"""How often the outbox is read from its very start all the same: one that was restored may count anew."""

_WRITERS: Final = """
select virtualtransaction from pg_locks
where locktype = 'relation' and relation = 'outbox'::regclass and mode = 'RowExclusiveLock'
  and database = (select oid from pg_database where datname = current_database()) and pid <> pg_backend_pid()
"""

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"


@dataclass(slots=True)
class _Candidate:
    """A number up to which nothing can come any more once these writers have ended."""

    seq: int
    writers: frozenset[str]


class OutboxStart:
    """The number after which the outbox is read: it moves up as transactions end."""

    def __init__(self) -> None:
        self.settled = 0
        """The number up to which nothing is left and nothing can come."""
        self._candidate: _Candidate | None = None
        self._followed_at = 0.0
        self._whole_at = time.monotonic()

    def after(self) -> int:
        """The number after which to read now; 0 reads from the very start."""
        if time.monotonic() - self._whole_at < WHOLE_SECONDS:
            return self.settled
        self._whole_at = time.monotonic()
        return 0

    def begin_anew(self) -> None:
        """Read from the very start next: rows that were left out are to be read again."""
        self.settled, self._candidate = 0, None

    async def follow(self, connection: Connection, read: Sequence[int]) -> None:
        """Move up as far as is safe. `read` are the numbers of the rows that were there after `after`, in order.

        Rows that are left out are not among them: the start moves past these too, until `begin_anew`.
        """
        if read and read[0] <= self.settled:
            self.begin_anew()
        candidate = self._candidate
        # The writers were gone before these rows were read: what they have left behind is among them.
        if candidate is not None and not candidate.writers and (not read or read[0] > candidate.seq):
            self.settled, self._candidate = candidate.seq, None
        if time.monotonic() - self._followed_at < FOLLOW_SECONDS:
            return
        if self._candidate is not None:
            self._candidate.writers &= await self._writers(connection)
        elif read:
            self._candidate = _Candidate(read[-1], await self._writers(connection))
        self._followed_at = time.monotonic()

    async def _writers(self, connection: Connection) -> frozenset[str]:
        return frozenset(row["virtualtransaction"] for row in await connection.fetch(_WRITERS))
