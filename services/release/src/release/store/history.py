"""The history of billing events: every decision with what it rests on; append-only (domain.md section 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from release.store.connection import Connection, Reader

_COLUMNS: Final = ("billing_event_id", "what", "actor", "job_id", "correlation_id", "detail")
_PAGE: Final = """
select entry_id, recorded_at, what, actor, job_id, correlation_id, detail from billing_event_history
where billing_event_id = $1 and ($2::bigint is null or entry_id > $2)
order by entry_id limit $3
"""


@dataclass(slots=True)
class HistoryEntry:
    """What happened to a billing event.

    `what` is a word such as `registered`, `changed`, `released`, `refused`; `actor` is the user (`user_id`, `email`) or
    None for the system and PSA; `detail` holds JSON values: numbers, rule and order of a decision.
    """

    billing_event_id: str
    what: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    actor: Mapping[str, Any] | None = None
    job_id: str | None = None
    correlation_id: str | None = None


async def append_history(connection: Connection, entries: Sequence[HistoryEntry]) -> None:
    """Add entries, in their order."""
    if entries:
        records = [
            (
                entry.billing_event_id,
                entry.what,
                entry.actor,
                entry.job_id,
                entry.correlation_id,
                entry.detail,
            )
            for entry in entries
        ]
        await connection.copy_records_to_table("billing_event_history", records=records, columns=_COLUMNS)


async def load_history(
    connection: Reader, billing_event_id: str, *, after_entry_id: int | None, rows_max: int
) -> list["asyncpg.Record"]:
    """Entries of one event in the order in which they were written, at most `rows_max` after the given one."""
    return await connection.fetch(_PAGE, billing_event_id, after_entry_id, rows_max)
