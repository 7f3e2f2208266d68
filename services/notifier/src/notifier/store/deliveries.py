"""Mails: each is leased to one sender at a time, tried, and kept with what became of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from notifier.domain.notices import Notice
from notifier.domain.retries import Delivery, DeliveryStatus
from notifier.store.connection import Connection, Reader
from notifier.store.notifications import notice_of
from shared.database.unit_of_work import Cause

_SELECT: Final = """
select delivery.*, told.kind, told.notice, told.correlation_id, told.causation_id, told.traceparent,
  clock_timestamp() as now
from deliveries as delivery join notifications as told using (cause)
"""
_TAKE: Final = f"""{_SELECT}
where delivery.status = 'queued' and delivery.due_at <= now()
  and (delivery.leased_until is null or delivery.leased_until <= now())
order by delivery.due_at, delivery.delivery_id limit 1
for no key update of delivery skip locked
"""
_LOCK: Final = f"{_SELECT} where delivery.delivery_id = $1 for no key update of delivery"
_SAVE: Final = """
update deliveries set status = $2, attempts = $3, due_at = $4, error = $5,
  leased_until = now() + make_interval(secs => $6)
where delivery_id = $1
"""
# A sender that overslept its lease finds the mail in other hands: that it was sent counts, that it failed does not.
_NOTE: Final = """
update deliveries set status = $2, attempts = greatest(attempts, $3), due_at = $4, error = $5, leased_until = null,
  sent_at = case when $2 = 'sent' then now() else sent_at end
where delivery_id = $1 and status <> 'sent' and ($2 = 'sent' or attempts = $3)
returning true
"""
_PAGE: Final = f"""{_SELECT}
where ($1::text is null or delivery.status = $1)
  and ($2::timestamptz is null or (delivery.created_at, delivery.delivery_id) < ($2, $3))
order by delivery.created_at desc, delivery.delivery_id desc limit $4
"""


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A mail to one recipient with what it tells; `now` is the database's clock when it was read."""

    delivery_id: str
    cause: str
    kind: str
    notice: Notice
    recipient: str
    state: Delivery
    created_at: datetime
    sent_at: datetime | None
    now: datetime
    message_cause: Cause


async def take_due(connection: Connection) -> StoredDelivery | None:
    """Lock the mail that has been due longest and that no other sender has taken or holds; None if there is none."""
    row = await connection.fetchrow(_TAKE)
    return None if row is None else _delivery_of(row)


async def lock_delivery(connection: Connection, delivery_id: str) -> StoredDelivery | None:
    """The mail with this id, its row locked, if there is one."""
    row = await connection.fetchrow(_LOCK, delivery_id)
    return None if row is None else _delivery_of(row)


async def save_delivery(
    connection: Connection, delivery_id: str, state: Delivery, *, lease_seconds: float | None = None
) -> None:
    """Write how a mail stands; its row must be locked. With a lease nobody else takes it for so long."""
    await connection.execute(
        _SAVE, delivery_id, state.status, state.attempts, state.due_at, state.error, lease_seconds
    )


async def note_outcome(connection: Connection, delivery_id: str, state: Delivery) -> bool:
    """Write what became of an attempt; False if the mail is no longer in the hands of who made it. Locks its row."""
    return bool(
        await connection.fetchval(_NOTE, delivery_id, state.status, state.attempts, state.due_at, state.error)
    )


async def load_deliveries(
    connection: Reader, *, status: str | None, before: tuple[datetime, str] | None, rows_max: int
) -> list[StoredDelivery]:
    """Mails, the newest first, after the one with this moment of creation and id."""
    created_at, delivery_id = before or (None, None)
    rows = await connection.fetch(_PAGE, status, created_at, delivery_id, rows_max)
    return [_delivery_of(row) for row in rows]


def _delivery_of(row: "asyncpg.Record") -> StoredDelivery:
    values: dict[str, Any] = dict(row)
    return StoredDelivery(
        delivery_id=values["delivery_id"],
        cause=values["cause"],
        kind=values["kind"],
        notice=notice_of(values["notice"]),
        recipient=values["recipient"],
        state=Delivery(
            due_at=values["due_at"],
            status=DeliveryStatus(values["status"]),
            attempts=values["attempts"],
            error=values["error"],
        ),
        created_at=values["created_at"],
        sent_at=values["sent_at"],
        now=values["now"],
        message_cause=Cause(
            causation_id=values["causation_id"],
            correlation_id=values["correlation_id"],
            traceparent=values["traceparent"],
        ),
    )
