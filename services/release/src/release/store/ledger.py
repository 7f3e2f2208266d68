"""The cap ledger: append-only; the released totals can be rebuilt from it (domain.md section 3, Never over)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import asyncpg

from release.domain.ledger import LedgerEntry
from release.store.connection import Connection, Reader

_COLUMNS: Final = (
    "project_id",
    "budget_id",
    "billing_event_id",
    "act",
    "amount",
    "currency",
    "released_after",
    "decision",
)
_PAGE: Final = """
select entry_id, recorded_at, act, billing_event_id, budget_id, amount, currency, released_after, decision
from cap_ledger where project_id = $1 and ($2::bigint is null or entry_id > $2)
  and ($3::text is null or billing_event_id = $3)
order by entry_id limit $4
"""


@dataclass(slots=True)
class LedgerRow:
    """A line of the ledger: the entry, the act that made it, and the decision behind it as a JSON object.

    `move`: items that the event's document leaves out have left it.
    """

    entry: LedgerEntry
    act: Literal["release", "move", "revert"]
    decision: Mapping[str, Any]


async def append_ledger(connection: Connection, rows: Sequence[LedgerRow]) -> None:
    """Add lines, in their order; the projects must be locked.

    Raises asyncpg.UniqueViolationError for an event that is counted, or given back, a second time.
    """
    if rows:
        records = [
            (
                row.entry.project_id,
                row.entry.budget_id,
                row.entry.billing_event_id,
                row.act,
                row.entry.amount,
                row.entry.currency,
                row.entry.released_after,
                row.decision,
            )
            for row in rows
        ]
        await connection.copy_records_to_table("cap_ledger", records=records, columns=_COLUMNS)


async def load_ledger(
    connection: Reader,
    project_id: str,
    *,
    billing_event_id: str | None,
    after_entry_id: int | None,
    rows_max: int,
) -> list["asyncpg.Record"]:
    """Lines of one project, of one event or of all, in the order in which they were written, after the given one."""
    return await connection.fetch(_PAGE, project_id, after_entry_id, billing_event_id, rows_max)
