"""Alerts in the application: listed, read, and in the order in which a stream tells of them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from notifier.domain.notices import Notice
from notifier.store.connection import Connection, Reader
from notifier.store.notifications import notice_of

_SELECT: Final = """
select alert.alert_id, alert.address, alert.place, alert.read_at, alert.created_at, told.cause, told.kind, told.notice,
  told.changed_at
from alerts as alert join notifications as told using (cause)
"""
_PAGE: Final = f"""{_SELECT}
where alert.address = any($1::text[]) and ($2::boolean is null or (alert.read_at is null) = $2)
  and ($3::timestamptz is null or (alert.created_at, alert.alert_id) < ($3, $4))
order by alert.created_at desc, alert.alert_id desc limit $5
"""
_UNREAD: Final = "select count(*) from alerts where address = any($1::text[]) and read_at is null"
_READ: Final = """
update alerts set read_at = coalesce(read_at, now()) where alert_id = $1 and address = any($2::text[])
"""
_ONE: Final = f"{_SELECT} where alert.alert_id = $1 and alert.address = any($2::text[])"
_AFTER: Final = (
    f"{_SELECT} where alert.address = any($1::text[]) and alert.place > $2 order by alert.place limit $3"
)
_NEWEST_PLACE: Final = "select coalesce(max(place), 0) from alerts"
_ADDRESSES_AFTER: Final = "select distinct address from alerts where place > $1 and place <= $2"


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert with what it tells. `place` is where it stands in the stream."""

    alert_id: str
    address: str
    place: int
    cause: str
    kind: str
    notice: Notice
    created_at: datetime
    changed_at: datetime
    read_at: datetime | None


async def load_alerts(
    connection: Reader,
    addresses: Collection[str],
    *,
    unread: bool | None,
    before: tuple[datetime, str] | None,
    rows_max: int,
) -> list[StoredAlert]:
    """Alerts of these addresses, the newest first, after the one with this moment of creation and id."""
    created_at, alert_id = before or (None, None)
    rows = await connection.fetch(_PAGE, list(addresses), unread, created_at, alert_id, rows_max)
    return [_alert_of(row) for row in rows]


async def count_unread(connection: Reader, addresses: Collection[str]) -> int:
    """How many alerts of these addresses have not been read."""
    return int(await connection.fetchval(_UNREAD, list(addresses)))


async def mark_read(connection: Connection, alert_id: str, addresses: Collection[str]) -> StoredAlert | None:
    """Mark an alert of these addresses as read, at the time when it first was; None if there is none. Locks its row."""
    await connection.execute(_READ, alert_id, list(addresses))
    row = await connection.fetchrow(_ONE, alert_id, list(addresses))
    return None if row is None else _alert_of(row)


async def load_alerts_after(
    connection: Reader, addresses: Collection[str], place: int, *, rows_max: int
) -> list[StoredAlert]:
    """Alerts of these addresses that stand after this place in the stream, in its order."""
    rows = await connection.fetch(_AFTER, list(addresses), place, rows_max)
    return [_alert_of(row) for row in rows]


async def newest_place(connection: Reader) -> int:
    """The last place of the stream, 0 while it is empty."""
    return int(await connection.fetchval(_NEWEST_PLACE))


async def addresses_between(connection: Reader, after: int, up_to: int) -> frozenset[str]:
    """Whose alerts stand after the one place and up to the other."""
    return frozenset(row["address"] for row in await connection.fetch(_ADDRESSES_AFTER, after, up_to))


def _alert_of(row: "asyncpg.Record") -> StoredAlert:
    values = dict(row)
    return StoredAlert(**{**values, "notice": notice_of(values["notice"])})
