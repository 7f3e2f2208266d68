"""Who holds billing events: the claims of billing runs, and live documents (domain.md sections 4 and 5)."""

from collections.abc import Mapping, Sequence
from typing import Final

from accounting_connector.store.connection import Connection

# The events' rows are locked, so that only a defect could meet another's row here; the primary key holds even then.
_TAKE_LIVE: Final = """
insert into live_documents (billing_event_id, document_id)
select * from unnest($1::text[], $2::text[]) as taken (billing_event_id, document_id)
order by taken.billing_event_id collate "C"
on conflict do nothing
returning billing_event_id
"""
_WINNERS: Final = """
select billing_event_id, document_id from live_documents where billing_event_id = any($1::text[])
"""
_END_LIVE: Final = "delete from live_documents where document_id = any($1::text[])"
_END_LIVE_OF: Final = "delete from live_documents where billing_event_id = any($1::text[])"
_CLAIM: Final = """
insert into claims (billing_event_id, billing_run_id)
select claimed.billing_event_id, $1 from unnest($2::text[]) as claimed (billing_event_id)
order by claimed.billing_event_id collate "C"
on conflict do nothing
"""
_END_CLAIMS: Final = "delete from claims where billing_event_id = any($1::text[])"


async def take_live(connection: Connection, documents_by_event: Mapping[str, str]) -> dict[str, str]:
    """Make these documents the live ones of these events. The events' rows must be locked.

    Returns what did not succeed: the document that won, by event id.
    """
    rows = await connection.fetch(_TAKE_LIVE, list(documents_by_event), list(documents_by_event.values()))
    if len(rows) == len(documents_by_event):
        return {}
    lost = set(documents_by_event) - {row["billing_event_id"] for row in rows}
    return {
        row["billing_event_id"]: row["document_id"] for row in await connection.fetch(_WINNERS, sorted(lost))
    }


async def end_live(connection: Connection, document_ids: Sequence[str]) -> None:
    """These documents are not live any more. Their events' rows must be locked."""
    await connection.execute(_END_LIVE, document_ids)


async def end_live_of(connection: Connection, billing_event_ids: Sequence[str]) -> None:
    """These events have no live document any more: their part was taken back. Their rows must be locked."""
    await connection.execute(_END_LIVE_OF, billing_event_ids)


async def claim(connection: Connection, billing_run_id: str, billing_event_ids: Sequence[str]) -> None:
    """Give these events to the billing run; what it has already stays its own. Their rows must be locked."""
    await connection.execute(_CLAIM, billing_run_id, billing_event_ids)


async def end_claims(connection: Connection, billing_event_ids: Sequence[str]) -> None:
    """Let these events go. Their rows must be locked."""
    await connection.execute(_END_CLAIMS, billing_event_ids)
