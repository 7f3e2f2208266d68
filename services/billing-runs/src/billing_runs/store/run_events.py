"""The events of runs: selected, asked for, left out, and the fate of those that a run has claimed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from billing_runs.domain.books import Fate
from billing_runs.domain.scope import BillingEvent
from billing_runs.store.connection import Connection, Reader, as_json

_SELECT: Final = """
insert into run_events as known (run_id, billing_event_id, state, currency, amount)
select $1, billing_event_id, 'selected', event.currency, event.summary_amount
from unnest($2::text[]) as given (billing_event_id) left join billing_events as event using (billing_event_id)
order by billing_event_id
on conflict (run_id, billing_event_id) do update set state = 'selected', reasons = null where known.state = 'left_out'
"""
_LEAVE_OUT: Final = """
insert into run_events as known (run_id, billing_event_id, state, currency, amount, reasons)
select $1, billing_event_id, 'left_out', event.currency, event.summary_amount, reasons::jsonb
from unnest($2::text[], $3::text[]) as given (billing_event_id, reasons)
left join billing_events as event using (billing_event_id)
order by billing_event_id
on conflict (run_id, billing_event_id) do update set state = 'left_out', reasons = excluded.reasons
  where known.state in ('selected', 'asked', 'left_out')
"""
_COUNT: Final = "select count(*) from run_events where run_id = $1 and state = $2"
_ASK_AGAIN: Final = "update run_events set state = 'selected' where run_id = $1 and state = 'asked'"
# What is to be changed is picked first, once: a plan made before the table has grown would look for it again and again.
_ASK: Final = """
with picked as materialized (
  select billing_event_id from run_events where run_id = $1 and state = 'selected'
  order by run_id, state, billing_event_id limit $2)
update run_events as known set state = 'asked' from picked
where known.run_id = $1 and known.billing_event_id = picked.billing_event_id
returning known.billing_event_id
"""
_CLAIMED: Final = """
update run_events set state = 'draft', claimed = true
where run_id = $1 and billing_event_id = any($2::text[]) and state = 'asked'
returning billing_event_id
"""
_REFUSED: Final = """
update run_events set state = 'left_out', reasons = given.reasons::jsonb
from unnest($2::text[], $3::text[]) as given (billing_event_id, reasons)
where run_id = $1 and run_events.billing_event_id = given.billing_event_id and state = 'asked'
returning run_events.billing_event_id
"""
_NOT_PASSED: Final = """
update run_events set state = given.fate, reasons = given.reasons::jsonb
from unnest($2::text[], $3::text[], $4::text[]) as given (billing_event_id, fate, reasons)
where run_id = $1 and run_events.billing_event_id = given.billing_event_id and state in ('draft', 'pending')
  and not let_go
returning run_events.billing_event_id
"""
_DRAFTED: Final = """
update run_events set document_id = given.document_id,
  state = case when state = 'pending' then 'draft' else state end,
  reasons = case when state = 'pending' then null else reasons end
from unnest($2::text[], $3::text[]) as given (billing_event_id, document_id)
where run_id = $1 and run_events.billing_event_id = given.billing_event_id and claimed
"""
_DOCUMENT_FATES: Final = """
update run_events set state = given.fate
from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as given (run_id, billing_event_id, document_id, fate)
where run_events.run_id = given.run_id and run_events.billing_event_id = given.billing_event_id
  and run_events.document_id = given.document_id and state = 'draft'
"""
_LET_GO: Final = """
with picked as materialized (
  select billing_event_id from run_events
  where run_id = $1 and state = any($2::text[]) and document_id is null and not let_go
  order by run_id, billing_event_id limit $3)
update run_events as known set let_go = true from picked
where known.run_id = $1 and known.billing_event_id = picked.billing_event_id
returning known.billing_event_id
"""
_UNCLAIMED: Final = """
update run_events set state = $3
where run_id = $1 and billing_event_id = any($2::text[]) and state in ('draft', 'pending') and document_id is null
returning billing_event_id
"""
_NOT_HELD: Final = """
update run_events set state = case when state = 'asked' then 'left_out' else 'failed' end,
  reasons = given.reasons::jsonb
from unnest($2::text[], $3::text[]) as given (billing_event_id, reasons)
where run_id = $1 and run_events.billing_event_id = given.billing_event_id and state in ('draft', 'pending', 'asked')
  and let_go and document_id is null
returning run_events.billing_event_id
"""
_HOLD_AGAIN: Final = """
update run_events set let_go = false
where run_id = $1 and let_go and state in ('draft', 'pending', 'asked') and document_id is null
"""
_LEAVE_OUT_SELECTED: Final = """
update run_events set state = 'left_out', reasons = '[{"code": "run_cancelled", "message": "", "detail": null}]'
where run_id = $1 and state = 'selected'
"""
_ACCOUNTS: Final = """
select billing_event_id, account_id from billing_events
where billing_event_id = any($1::text[]) and account_id is not null
"""
_MOVE: Final = "update run_events set run_id = $2 where run_id = $1 and document_id = any($3::text[])"
_FATES: Final = """
select state, currency, count(*) as events, sum(amount) as amount from run_events where run_id = $1
group by state, currency order by state, currency
"""
_LIST: Final = """
select * from run_events where run_id = $1 and ($2::text is null or state = $2) and billing_event_id > $3
order by billing_event_id limit $4
"""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """An event of a run: `state` is `selected`, `asked`, `left_out` (with reasons) or the fate of its claim."""

    billing_event_id: str
    state: str
    currency: str | None
    amount: Decimal | None
    document_id: str | None
    reasons: Sequence[Mapping[str, Any]] | None


async def select_events(connection: Connection, run_id: str, billing_event_ids: Iterable[str]) -> None:
    """Note that the run is to ask for these events; what it has asked for or claimed before stays as it is."""
    await connection.execute(_SELECT, run_id, sorted(set(billing_event_ids)))


async def leave_out(
    connection: Connection, run_id: str, reasons: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Note the events that the run does not take, with their reasons; what it has claimed stays as it is."""
    if reasons:
        await connection.execute(
            _LEAVE_OUT, run_id, list(reasons), [as_json(each) for each in reasons.values()]
        )


async def count_events(connection: Reader, run_id: str, state: str) -> int:
    """How many of the run's events are in this state."""
    return int(await connection.fetchval(_COUNT, run_id, state))


async def ask_again(connection: Connection, run_id: str) -> None:
    """Take back what was asked without an answer, to be asked anew."""
    await connection.execute(_ASK_AGAIN, run_id)


async def take_selected(connection: Connection, run_id: str, *, limit: int) -> list[str]:
    """Mark selected events as asked, and return their ids in order."""
    rows = await connection.fetch(_ASK, run_id, limit)
    return sorted(row["billing_event_id"] for row in rows)


async def mark_claimed(connection: Connection, run_id: str, billing_event_ids: Sequence[str]) -> int:
    """The connector has given these events to the run; returns how many were waiting for that."""
    return len(await connection.fetch(_CLAIMED, run_id, billing_event_ids))


async def mark_refused(
    connection: Connection, run_id: str, reasons: Mapping[str, Sequence[Mapping[str, Any]]]
) -> frozenset[str]:
    """The connector has refused these events; returns the ids of those that were waiting for that."""
    if not reasons:
        return frozenset()
    rows = await connection.fetch(
        _REFUSED, run_id, list(reasons), [as_json(each) for each in reasons.values()]
    )
    return frozenset(row["billing_event_id"] for row in rows)


async def mark_not_passed(
    connection: Connection,
    run_id: str,
    not_passed: Mapping[str, tuple[Fate, Sequence[Mapping[str, Any]]]],
) -> frozenset[str]:
    """No document was made of these events; returns the ids of those that were waiting for one, and are not let go."""
    rows = await connection.fetch(
        _NOT_PASSED,
        run_id,
        list(not_passed),
        [fate for fate, _ in not_passed.values()],
        [as_json(reasons) for _, reasons in not_passed.values()],
    )
    return frozenset(row["billing_event_id"] for row in rows)


async def link_documents(connection: Connection, run_id: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Note which document bills which event (pairs of billing event id and document id)."""
    if pairs:
        events, documents = (list(column) for column in zip(*pairs, strict=True))
        await connection.execute(_DRAFTED, run_id, events, documents)


async def set_document_fates(connection: Connection, fates: Sequence[tuple[str, str, str, Fate]]) -> None:
    """Give events the fate of their document: run id, billing event id, document id and fate of each.

    By the key of the event, which no plan can get wrong however fast the table grows.
    """
    if fates:
        columns = [list(column) for column in zip(*fates, strict=True)]
        await connection.execute(_DOCUMENT_FATES, *columns)


async def take_to_let_go(
    connection: Connection, run_id: str, states: Sequence[str], *, limit: int
) -> list[str]:
    """Mark events in these states, without document and not let go before, as let go; returns their ids in order."""
    rows = await connection.fetch(_LET_GO, run_id, states, limit)
    return sorted(row["billing_event_id"] for row in rows)


async def mark_unclaimed(
    connection: Connection, run_id: str, billing_event_ids: Sequence[str], fate: Fate
) -> int:
    """The connector has let these events go; returns how many had no other fate yet."""
    return len(await connection.fetch(_UNCLAIMED, run_id, billing_event_ids, fate))


async def mark_not_held(
    connection: Connection, run_id: str, reasons: Mapping[str, Sequence[Mapping[str, Any]]]
) -> int:
    """The connector does not hold these events for the run, which was to let them go; returns how many had no fate."""
    if not reasons:
        return 0
    rows = await connection.fetch(
        _NOT_HELD, run_id, list(reasons), [as_json(each) for each in reasons.values()]
    )
    return len(rows)


async def let_go_again(connection: Connection, run_id: str) -> None:
    """Take back what was let go without an answer, to be let go anew."""
    await connection.execute(_HOLD_AGAIN, run_id)


async def leave_out_selected(connection: Connection, run_id: str) -> None:
    """Leave out what was selected and never asked for, since the run is cancelled."""
    await connection.execute(_LEAVE_OUT_SELECTED, run_id)


async def accounts_of(connection: Reader, billing_event_ids: Iterable[str]) -> dict[str, str]:
    """The accounts of known events, by event."""
    rows = await connection.fetch(_ACCOUNTS, list(billing_event_ids))
    return {row["billing_event_id"]: row["account_id"] for row in rows}


async def move_events(
    connection: Connection, *, from_run_id: str, to_run_id: str, document_ids: Sequence[str]
) -> None:
    """Move the claims of these documents' events to another run; both runs must be locked."""
    await connection.execute(_MOVE, from_run_id, to_run_id, document_ids)


async def fates_of(connection: Reader, run_id: str) -> list[tuple[str, str | None, int, Decimal]]:
    """The run's events by state and currency: how many, and their amount."""
    rows = await connection.fetch(_FATES, run_id)
    return [(row["state"], row["currency"], row["events"], row["amount"] or Decimal(0)) for row in rows]


async def list_run_events(
    connection: Reader, run_id: str, *, state: str | None, after: str, limit: int
) -> list[RunEvent]:
    """The run's events by id, after this id."""
    rows = await connection.fetch(_LIST, run_id, state, after, limit)
    return [
        RunEvent(
            billing_event_id=row["billing_event_id"],
            state=row["state"],
            currency=row["currency"],
            amount=row["amount"],
            document_id=row["document_id"],
            reasons=row["reasons"],
        )
        for row in rows
    ]


def ids_of(events: Iterable[BillingEvent]) -> list[str]:
    """The ids of events, in their order."""
    return [event.billing_event_id for event in events]
