"""What was told: a row per cause, written with its alerts and mails in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from notifier.domain.notices import Notice
from notifier.domain.notifications import Notification
from notifier.store.connection import Connection
from shared.database.unit_of_work import Cause
from shared.ids import derived_id

# Places are handed out under this lock, which is held until the commit: whoever has read up to a place has read all.
_LOCK: Final = "select pg_advisory_xact_lock(hashtext('notifications'), hashtext(current_schema()))"
_INSERT: Final = """
insert into notifications (cause, kind, notice, correlation_id, causation_id, traceparent)
select * from unnest($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::text[], $6::text[])
order by 1
"""
_KEEP_FIRST: Final = f"{_INSERT} on conflict do nothing"
_REPLACE: Final = f"""{_INSERT}
on conflict (cause) do update set notice = excluded.notice, changed_at = now()
"""
_MOVE_ALERTS: Final = "update alerts set place = nextval('alert_places') where cause = any($1::text[])"
_INSERT_ALERTS: Final = """
insert into alerts (alert_id, cause, address, place)
select alert_id, cause, address, nextval('alert_places')
from unnest($1::text[], $2::text[], $3::text[]) as given (alert_id, cause, address)
on conflict do nothing
"""
_INSERT_DELIVERIES: Final = """
insert into deliveries (delivery_id, cause, recipient, due_at)
select delivery_id, cause, recipient, coalesce(due_at, now())
from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) as given (delivery_id, cause, recipient, due_at)
on conflict do nothing
"""
_PRUNE: Final = """
delete from notifications where cause in (
  select cause from notifications where created_at < now() - make_interval(days => $1) order by created_at limit $2
)
"""


@dataclass(frozen=True, slots=True)
class Caused:
    """A notification with the message that it goes back to, and when its mails are due (None: at once)."""

    notification: Notification
    cause: Cause
    mails_due_at: datetime | None = None


async def lock_notifications(connection: Connection) -> None:
    """Wait until no other transaction writes notifications; to be called before anything is read for writing them."""
    await connection.execute(_LOCK)


async def save_notifications(connection: Connection, caused: Sequence[Caused], *, counting_up: bool) -> None:
    """Store what is told by its cause, of which there is one each.

    What is there already stays as it was first told; with `counting_up` its content is replaced, and its alerts come
    up in the stream again.
    """
    await connection.execute(
        _REPLACE if counting_up else _KEEP_FIRST,
        [each.notification.cause for each in caused],
        [each.notification.kind for each in caused],
        [notice_body(each.notification.notice) for each in caused],
        [each.cause.correlation_id for each in caused],
        [each.cause.causation_id for each in caused],
        [each.cause.traceparent for each in caused],
    )
    if counting_up:
        await connection.execute(_MOVE_ALERTS, [each.notification.cause for each in caused])


async def insert_alerts(connection: Connection, alerts: Sequence[tuple[str, str]]) -> None:
    """Store an alert for each cause and address, unless it is there already."""
    if alerts:
        ids = [derived_id("alert", cause, address) for cause, address in alerts]
        causes, addresses = zip(*alerts, strict=True)
        await connection.execute(_INSERT_ALERTS, ids, causes, addresses)


async def insert_deliveries(
    connection: Connection, deliveries: Sequence[tuple[str, str, datetime | None]]
) -> None:
    """Queue a mail for each cause and recipient, with the time when it is due, unless it is there already."""
    if deliveries:
        ids = [derived_id("mail", cause, recipient.casefold()) for cause, recipient, _ in deliveries]
        causes, recipients, due = zip(*deliveries, strict=True)
        await connection.execute(_INSERT_DELIVERIES, ids, causes, recipients, due)


async def prune_notifications(connection: Connection, *, days: int, rows_max: int) -> int:
    """Forget the oldest notifications, with their alerts and mails; returns how many went."""
    status = await connection.execute(_PRUNE, days, rows_max)
    return int(status.rpartition(" ")[2])


def notice_body(notice: Notice) -> dict[str, Any]:
    """A notice as it is stored."""
    return asdict(notice)


def notice_of(body: Mapping[str, Any]) -> Notice:
    """A stored notice."""
    return Notice(**{**body, "reasons": tuple(body["reasons"])})
