"""What the chunks of a dry run would have released so far: the totals and the ids that later chunks find taken."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from release.domain.ledger import LedgerEntry
from release.store.connection import Connection
from shared.money import exact_sum

_ADD: Final = """
insert into dry_run_totals as total (job_id, project_id, budget_id, currency, released)
select $1, project_id, budget_id, currency, amount
from unnest($2::text[], $3::text[], $4::text[], $5::numeric[]) as added (project_id, budget_id, currency, amount)
on conflict (job_id, project_id, budget_id, currency) do update set released = total.released + excluded.released
"""
_TOTALS: Final = """
select project_id, budget_id, currency, released from dry_run_totals
where job_id = $1 and project_id = any($2::text[])
"""
_KEEP_IDS: Final = "insert into dry_run_events (job_id, billing_event_id) select $1, unnest($2::text[])"
_FORGET_TOTALS: Final = "delete from dry_run_totals where job_id = $1"
_FORGET_IDS: Final = "delete from dry_run_events where job_id = $1"


async def add_consumed(
    connection: Connection, job_id: str, entries: Iterable[LedgerEntry], made_ids: list[str]
) -> None:
    """Add what a chunk would have released, and the ids of the events that its splits would have made.

    The dry run must be locked.
    """
    sums: dict[tuple[str, str | None, str], list[LedgerEntry]] = {}
    for entry in entries:
        sums.setdefault((entry.project_id, entry.budget_id, entry.currency), []).append(entry)
    if sums:
        amounts = [exact_sum(entry.amount for entry in group) for group in sums.values()]
        await connection.execute(_ADD, job_id, *map(list, zip(*sums, strict=True)), amounts)
    if made_ids:
        await connection.execute(_KEEP_IDS, job_id, made_ids)


async def load_consumed(
    connection: Connection, job_id: str, project_ids: Iterable[str]
) -> list[tuple[str, str | None, str, Decimal]]:
    """What the dry run would have released on these projects: project, budget or None, currency, amount."""
    rows = await connection.fetch(_TOTALS, job_id, sorted(project_ids))
    return [(row["project_id"], row["budget_id"], row["currency"], row["released"]) for row in rows]


async def forget_consumed(connection: Connection, job_id: str) -> None:
    """Remove it all: the dry run has ended."""
    await connection.execute(_FORGET_TOTALS, job_id)
    await connection.execute(_FORGET_IDS, job_id)
