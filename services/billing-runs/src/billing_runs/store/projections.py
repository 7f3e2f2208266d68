"""What this service knows of billing events and accounts, from the facts of those who own them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import asyncpg

from billing_runs.domain.scope import BillingEvent, EventStage
from billing_runs.store.connection import Connection, Reader, as_json

_UPSERT_EVENTS: Final = """
insert into billing_events as known (billing_event_id, project_id, batch_id, account_id, date, currency, summary_amount,
  stage, missing, on_hold, figures)
select billing_event_id, project_id, batch_id, account_id, date, currency, summary_amount, stage,
  string_to_array(missing, ','), on_hold, figures::jsonb
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::date[], $6::text[], $7::numeric[], $8::text[],
  $9::text[], $10::boolean[], $11::text[])
  as given (billing_event_id, project_id, batch_id, account_id, date, currency, summary_amount, stage, missing, on_hold,
    figures)
order by billing_event_id
on conflict (billing_event_id) do update set
  (project_id, batch_id, account_id, date, currency, summary_amount, stage, missing, on_hold, figures) =
  (excluded.project_id, excluded.batch_id, excluded.account_id, excluded.date, excluded.currency,
   excluded.summary_amount, excluded.stage, excluded.missing, excluded.on_hold, excluded.figures),
  amount_changed_at = case when known.summary_amount = excluded.summary_amount or excluded.stage = 'released'
    then known.amount_changed_at else now() end
"""
_STAGES: Final = """
update billing_events as known set stage = given.stage
from unnest($1::text[], $2::text[]) as given (billing_event_id, stage)
where known.billing_event_id = given.billing_event_id
"""
_UNKNOWN: Final = """
select billing_event_id from unnest($1::text[]) as named (billing_event_id)
where not exists (select from billing_events as known where known.billing_event_id = named.billing_event_id)
order by billing_event_id
"""
_AMOUNTS: Final = """
update run_events set amount = known.summary_amount, currency = known.currency
from billing_events as known
where run_events.billing_event_id = any($1::text[]) and run_events.amount is null
  and known.billing_event_id = run_events.billing_event_id
"""
_UPSERT_ACCOUNTS: Final = """
insert into accounts as known (account_id, version, name, billing_cycle_id)
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) as given (account_id, version, name, cycle)
order by account_id
on conflict (account_id) do update set (version, name, billing_cycle_id) =
  (excluded.version, excluded.name, excluded.billing_cycle_id)
where known.version < excluded.version
"""
_ACCOUNTS_OF_CYCLE: Final = "select account_id, billing_cycle_id from accounts where billing_cycle_id = $1"

# The page is cut before its holders are looked up: a plan that sorts would look up those of all events behind it.
_PAGE: Final = """
select event.*, holder.run_id as claimed_by_run_id
from (
  select billing_event_id, project_id, batch_id, account_id, date, currency, summary_amount, stage, missing, on_hold,
    registered_at, amount_changed_at
  from billing_events
  where ($1::text is null or project_id = $1)
    and ($2::text is null or account_id = $2)
    and ($3::text is null or currency = $3)
    and ($4::text is null or batch_id = $4)
    and ($5::date is null or date >= $5)
    and ($6::date is null or date <= $6)
    and ($7::text[] is null or account_id = any($7))
    and ($8::text[] is null or batch_id = any($8))
    and ($9::text[] is null or billing_event_id = any($9))
    and (date, billing_event_id) > ($10::date, $12::text)
  order by date, billing_event_id limit $13
) as event
left join lateral (
  select run_id from run_events where run_events.billing_event_id = event.billing_event_id and state = 'draft'
  order by run_id <> $11, run_id limit 1
) as holder on true
order by event.date, event.billing_event_id
"""


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """A billing event as its owner tells of it, reduced to what this service needs; `figures` is JSON."""

    billing_event_id: str
    project_id: str
    batch_id: str | None
    account_id: str | None
    date: date
    currency: str
    summary_amount: Decimal
    stage: str
    missing: Sequence[str]
    on_hold: bool
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the database can tell of a scope before the domain decides; None: anything. Both dates are included."""

    project_id: str | None = None
    account_id: str | None = None
    currency: str | None = None
    batch_id: str | None = None
    date_from: date | None = None
    date_to: date | None = None
    account_ids: Sequence[str] | None = None
    batch_ids: Sequence[str] | None = None
    billing_event_ids: Sequence[str] | None = None


async def upsert_events(connection: Connection, events: Sequence[KnownEvent]) -> None:
    """Store the newest state of events, each at most once, in the order of their ids, which locks their rows."""
    if not events:
        return
    rows = [
        (
            event.billing_event_id,
            event.project_id,
            event.batch_id,
            event.account_id,
            event.date,
            event.currency,
            event.summary_amount,
            event.stage,
            ",".join(event.missing),
            event.on_hold,
            as_json(event.figures),
        )
        for event in events
    ]
    await connection.execute(_UPSERT_EVENTS, *(list(column) for column in zip(*rows, strict=True)))
    await connection.execute(_AMOUNTS, [event.billing_event_id for event in events])


async def set_stages(connection: Connection, stages: Mapping[str, str]) -> None:
    """Set the stage of known events."""
    if stages:
        await connection.execute(_STAGES, list(stages), list(stages.values()))


async def unknown_events(connection: Reader, billing_event_ids: Iterable[str]) -> list[str]:
    """Those of these ids of which nothing has been read, in order."""
    rows = await connection.fetch(_UNKNOWN, sorted(billing_event_ids))
    return [row["billing_event_id"] for row in rows]


async def upsert_accounts(
    connection: Connection, accounts: Sequence[tuple[str, int, str, str | None]]
) -> None:
    """Store accounts (id, version, name, billing cycle), each once; an older or equal version changes nothing."""
    if accounts:
        columns = [list(column) for column in zip(*accounts, strict=True)]
        await connection.execute(_UPSERT_ACCOUNTS, *columns)


async def accounts_naming_cycle(connection: Reader, billing_cycle_id: str) -> list[tuple[str, str | None]]:
    """The accounts that name this billing cycle, each with the cycle."""
    rows = await connection.fetch(_ACCOUNTS_OF_CYCLE, billing_cycle_id)
    return [(row["account_id"], row["billing_cycle_id"]) for row in rows]


async def events_page(
    connection: Reader, wanted: Wanted, *, run_id: str, after: tuple[date, str], limit: int
) -> list[BillingEvent]:
    """Events that may be in a scope, by date, then id, after this place, each with the run that holds its claim."""
    rows = await connection.fetch(
        _PAGE,
        wanted.project_id,
        wanted.account_id,
        wanted.currency,
        wanted.batch_id,
        wanted.date_from,
        wanted.date_to,
        wanted.account_ids,
        wanted.batch_ids,
        wanted.billing_event_ids,
        after[0],
        run_id,
        after[1],
        limit,
    )
    return [_event_of(row) for row in rows]


def _event_of(row: "asyncpg.Record") -> BillingEvent:
    return BillingEvent(
        billing_event_id=row["billing_event_id"],
        project_id=row["project_id"],
        batch_id=row["batch_id"],
        account_id=row["account_id"],
        date=row["date"],
        currency=row["currency"],
        summary_amount=row["summary_amount"],
        stage=EventStage(row["stage"]),
        missing=tuple(row["missing"]),
        claimed_by_run_id=row["claimed_by_run_id"],
        on_hold=row["on_hold"],
        registered_at=row["registered_at"],
        amount_changed_at=row["amount_changed_at"],
    )
