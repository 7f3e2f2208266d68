"""What is billed: the events that hold items, and the sums on business records (domain.md section 2, Billed once).

A record's first row is what serialises its billing: who knows of it locks it, and of two who do not, one inserts it.
The same holds for an item's first entry. So check and entry are one transaction, whatever the projects.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import asyncpg

from release.domain.billed import Billed, BilledRecord, Billing, ItemHolder
from release.domain.billed_once import GUARDED_KINDS
from release.domain.events import BillingEvent, RecordKey
from release.domain.stages import RELEASED_STAGES
from release.store.connection import Connection, Reader

_HOLDERS: Final = """
select item_id, copy, billing_event_id from billed_items where item_id = any($1::text[]) order by item_id, copy
"""
_SUMS: Final = """
select total.kind, total.record_id, total.currency, total.billed, total.record_limit
from unnest($1::text[], $2::text[]) as wanted (kind, record_id)
join record_totals as total on total.kind = wanted.kind and total.record_id = wanted.record_id
order by total.kind, total.record_id, total.place
"""
_LOCK_SUMS: Final = f"{_SUMS} for no key update of total"
# "offset 0", here and below, keeps the planner from reading a whole table for a few rows, as it would while it has no
# statistics.
_AMOUNTS: Final = """
select record.kind, record.record_id, record.amount
from unnest($1::text[], $2::text[]) as wanted (kind, record_id)
cross join lateral (
  select * from business_records as known
  where known.kind = wanted.kind and known.record_id = wanted.record_id offset 0) as record
where record.amount is not null
"""
_BILLINGS: Final = """
select wanted.kind, wanted.record_id, event.billing_event_id,
  coalesce(event.root_id, event.billing_event_id) as root_id, event.currency, sum(item.amount) as amount
from unnest($1::text[], $2::text[]) as wanted (kind, record_id)
cross join lateral (
  select * from billing_event_items as known
  where known.business_record_id = wanted.record_id
    and coalesce(known.adjusts_category, known.category) = wanted.kind offset 0) as item
join billing_events as event on event.billing_event_id = item.billing_event_id
where event.stage = any($3::text[]) and not coalesce(event.left_out ? item.item_id, false)
group by 1, 2, 3, 4, 5 order by 1, 2, 3
"""
_ADD: Final = """
update record_totals as total set
  billed = total.billed + added.amount, record_limit = coalesce(added.record_limit, total.record_limit)
from unnest($1::text[], $2::text[], $3::text[], $4::numeric[], $5::numeric[])
  as added (kind, record_id, currency, amount, record_limit)
where total.kind = added.kind and total.record_id = added.record_id and total.currency = added.currency
"""
_INSERT: Final = """
insert into record_totals (kind, record_id, place, currency, billed, record_limit)
select * from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::numeric[], $6::numeric[])
order by 1, 2, 3 on conflict do nothing
"""
# What a single item above its record's amount allowed ends when nothing stays billed.
_TAKE_OFF: Final = """
update record_totals as total set
  billed = total.billed - taken.amount,
  record_limit = case when total.billed <> taken.amount then total.record_limit end
from unnest($1::text[], $2::text[], $3::text[], $4::numeric[]) as taken (kind, record_id, currency, amount)
where total.kind = taken.kind and total.record_id = taken.record_id and total.currency = taken.currency
"""
_HOLD: Final = """
insert into billed_items (item_id, copy, billing_event_id)
select * from unnest($1::text[], $2::integer[], $3::text[]) order by 1, 2 on conflict do nothing
"""
_LET_GO: Final = """
delete from billed_items as held using unnest($1::text[], $2::text[]) as given (item_id, billing_event_id)
where held.item_id = given.item_id and held.billing_event_id = given.billing_event_id
"""

ItemOfEvent = tuple[str, str]
"""An item's id, and that of the event that holds it."""


async def lock_billed(connection: Connection, events: Iterable[BillingEvent]) -> Billed:
    """Lock the sums of the records of these events' items, by kind and id, and read what is billed of both.

    Locked after projects, events and totals.
    """
    return await _read(connection, events, _LOCK_SUMS)


async def load_billed(connection: Reader, events: Iterable[BillingEvent]) -> Billed:
    """The same without locking, for previews."""
    return await _read(connection, events, _SUMS)


async def _read(connection: Reader, events: Iterable[BillingEvent], sums: str) -> Billed:
    items = [item for event in events for item in event.items]
    if not items:
        return Billed()
    keys = sorted({key for item in items if (key := item.counted_record) is not None})
    records: dict[RecordKey, BilledRecord] = {}
    if keys:
        records = await _read_records(connection, keys, sums)
    holders: dict[str, ItemHolder] = {}
    for row in await connection.fetch(_HOLDERS, [item.item_id for item in items]):
        first = holders.get(row["item_id"])
        holder = row["billing_event_id"] if first is None else first.billing_event_id
        holders[row["item_id"]] = ItemHolder(holder, row["copy"])
    return Billed(holders, records)


async def _read_records(
    connection: Reader, keys: Sequence[RecordKey], sums: str
) -> dict[RecordKey, BilledRecord]:
    totals: dict[RecordKey, dict[str, Decimal]] = {}
    limits: dict[RecordKey, dict[str, Decimal]] = {}
    for row in await connection.fetch(sums, *_arrays(keys)):
        key = RecordKey(row["kind"], row["record_id"])
        totals.setdefault(key, {})[row["currency"]] = row["billed"]
        if row["record_limit"] is not None:
            limits.setdefault(key, {})[row["currency"]] = row["record_limit"]
    guarded = [key for key in keys if key.kind in GUARDED_KINDS]
    amounts: dict[RecordKey, Decimal] = {}
    if guarded:
        for row in await connection.fetch(_AMOUNTS, *_arrays(guarded)):
            amounts[RecordKey(row["kind"], row["record_id"])] = row["amount"]
    unknown = [key for key in guarded if key not in amounts and any(totals.get(key, {}).values())]
    billings = await _read_billings(connection, unknown)
    return {
        key: BilledRecord(
            amounts.get(key), totals.get(key, {}), limits.get(key, {}), tuple(billings.get(key, ()))
        )
        for key in keys
        if key in totals or key in amounts
    }


async def _read_billings(connection: Reader, keys: Sequence[RecordKey]) -> dict[RecordKey, list[Billing]]:
    billings: dict[RecordKey, list[Billing]] = {}
    for row in await connection.fetch(_BILLINGS, *_arrays(keys), [*RELEASED_STAGES]) if keys else ():
        key = RecordKey(row["kind"], row["record_id"])
        billing = Billing(key, row["billing_event_id"], row["root_id"], row["currency"], row["amount"])
        billings.setdefault(key, []).append(billing)
    return billings


async def name_billings(connection: Reader, billed: Billed, keys: Iterable[RecordKey]) -> Billed:
    """The same with the billings of these records, which may be many and are read to be named in a refusal only."""
    named = billed.copy()
    for key, billings in (await _read_billings(connection, sorted(keys))).items():
        record = named.record(key)
        stored = {each.billing_event_id for each in billings}
        others = (each for each in record.billings if each.billing_event_id not in stored)
        named.records[key] = replace(record, billings=(*billings, *others))
    return named


async def put_on(
    connection: Connection, before: Billed, billings: Iterable[Billing], items: Iterable[ItemOfEvent]
) -> None:
    """Count these billings on their records, and let these events hold their items.

    `before` is what `lock_billed` gave. Raises asyncpg.SerializationError, so that the transaction is done again, if
    another one has billed one of them for the first time meanwhile.
    """
    added: dict[tuple[RecordKey, str], tuple[Decimal, Decimal | None]] = {}
    for billing in billings:
        place = (billing.record, billing.currency)
        amount, limit = added.get(place, (Decimal(0), None))
        added[place] = (amount + billing.amount, limit if billing.limit is None else billing.limit)
    known: list[tuple[Any, ...]] = []
    new: list[tuple[Any, ...]] = []
    places: dict[RecordKey, int] = {}
    for (key, currency), (amount, limit) in added.items():
        sums = before.record(key).sums
        if currency in sums:
            known.append((key.kind, key.record_id, currency, amount, limit))
        else:
            places[key] = places.get(key, len(sums)) + 1
            new.append((key.kind, key.record_id, places[key], currency, amount, limit))
    if known:
        await connection.execute(_ADD, *_arrays(known))
    if new:
        _require_all(await connection.execute(_INSERT, *_arrays(new)), new)
    held: list[tuple[str, int, str]] = []
    copies: dict[str, int] = {}
    for item_id, billing_event_id in items:
        holder = before.items.get(item_id)
        copies[item_id] = copies.get(item_id, 0 if holder is None else holder.copies) + 1
        held.append((item_id, copies[item_id], billing_event_id))
    if held:
        _require_all(await connection.execute(_HOLD, *_arrays(held)), held)


def _require_all(status: str, rows: Sequence[object]) -> None:
    if status != f"INSERT 0 {len(rows)}":
        raise asyncpg.SerializationError("another transaction has billed one of these items or records")


async def take_off(connection: Connection, billings: Iterable[Billing], items: Iterable[ItemOfEvent]) -> None:
    """Take these billings off their records, and let these events hold their items no more.

    The records must be locked by `lock_billed`.
    """
    taken: dict[tuple[RecordKey, str], Decimal] = {}
    for billing in billings:
        place = (billing.record, billing.currency)
        taken[place] = taken.get(place, Decimal(0)) + billing.amount
    if taken:
        rows = [(key.kind, key.record_id, currency, amount) for (key, currency), amount in taken.items()]
        await connection.execute(_TAKE_OFF, *_arrays(rows))
    held = list(items)
    if held:
        await connection.execute(_LET_GO, *_arrays(held))


def _arrays(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
