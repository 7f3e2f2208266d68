"""Billing cycles: their accounts, and when they are cut off."""

from dataclasses import dataclass
from typing import Final

import asyncpg

from billing_runs.domain.scope import BillingCycle
from billing_runs.store.connection import Connection, Reader

_LOAD: Final = "select * from billing_cycles where billing_cycle_id = $1"
_PAGE: Final = """
select * from billing_cycles where billing_cycle_id > $1 order by billing_cycle_id limit $2
"""
_SAVE: Final = """
insert into billing_cycles (billing_cycle_id, name, accounts, frequency, cut_off_day) values ($1, $2, $3, $4, $5)
on conflict (billing_cycle_id) do update set (name, accounts, frequency, cut_off_day, changed_at) =
  (excluded.name, excluded.accounts, excluded.frequency, excluded.cut_off_day, now())
"""


@dataclass(frozen=True, slots=True)
class StoredCycle:
    """A billing cycle with its name, its frequency and the day of the month at which it is cut off."""

    cycle: BillingCycle
    name: str
    frequency: str
    cut_off_day: int | None


async def load_cycle(connection: Reader, billing_cycle_id: str) -> StoredCycle | None:
    """A billing cycle, if it has been described."""
    row = await connection.fetchrow(_LOAD, billing_cycle_id)
    return _cycle_of(row) if row is not None else None


async def list_cycles(connection: Reader, *, after: str, limit: int) -> list[StoredCycle]:
    """Billing cycles by id, after this id."""
    return [_cycle_of(row) for row in await connection.fetch(_PAGE, after, limit)]


async def save_cycle(connection: Connection, stored: StoredCycle) -> None:
    """Describe a billing cycle, new or anew."""
    accounts = stored.cycle.accounts
    await connection.execute(
        _SAVE,
        stored.cycle.billing_cycle_id,
        stored.name,
        sorted(accounts) if accounts is not None else None,
        stored.frequency,
        stored.cut_off_day,
    )


def _cycle_of(row: "asyncpg.Record") -> StoredCycle:
    accounts = frozenset(row["accounts"]) if row["accounts"] is not None else None
    cycle = BillingCycle(row["billing_cycle_id"], accounts)
    return StoredCycle(cycle, row["name"], row["frequency"], row["cut_off_day"])
