"""Whose billing events a run has: what a token of some projects may not change (contract.md section 2)."""

from collections.abc import Iterable, Sequence
from typing import Final

from billing_runs.store.connection import Reader

# What is not known here may be of any project.
_BESIDE: Final = """
select billing_event_id from unnest($1::text[]) as named (billing_event_id)
left join billing_events as known using (billing_event_id)
where known.project_id is null or known.project_id <> all($2::text[])
order by billing_event_id
"""
_OF_RUN_BESIDE: Final = """
select billing_event_id from run_events left join billing_events as known using (billing_event_id)
where run_id = $1 and state <> 'left_out' and (known.project_id is null or known.project_id <> all($2::text[]))
order by billing_event_id limit 1
"""
_DOCUMENTS_BESIDE: Final = """
select distinct document_id from run_events left join billing_events as known using (billing_event_id)
where document_id = any($1::text[]) and (known.project_id is null or known.project_id <> all($2::text[]))
"""


async def events_beside(
    connection: Reader, billing_event_ids: Iterable[str], projects: frozenset[str]
) -> list[str]:
    """Those of these events that are of another project than these, or not known yet, in order."""
    rows = await connection.fetch(_BESIDE, sorted(billing_event_ids), sorted(projects))
    return [row["billing_event_id"] for row in rows]


async def event_of_run_beside(connection: Reader, run_id: str, projects: frozenset[str]) -> str | None:
    """The first event of those that a run has which is of another project than these; None: there is none."""
    found: str | None = await connection.fetchval(_OF_RUN_BESIDE, run_id, sorted(projects))
    return found


async def documents_beside(
    connection: Reader, document_ids: Sequence[str], projects: frozenset[str]
) -> frozenset[str]:
    """Those of these documents that bill an event of another project than these."""
    rows = await connection.fetch(_DOCUMENTS_BESIDE, document_ids, sorted(projects))
    return frozenset(row["document_id"] for row in rows)
