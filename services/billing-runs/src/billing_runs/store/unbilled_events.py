"""The claimed events of a run that no document bills, or not yet."""

from collections.abc import Sequence
from typing import Final

from billing_runs.domain.lifecycle import Remainder
from billing_runs.store.connection import Connection, Reader

_FAIL_WITHOUT_DOCUMENT: Final = """
update run_events set state = 'failed', reasons = '[{"code": "no_document", "message": "", "detail": null}]'
where run_id = $1 and state = 'draft' and document_id is null
returning billing_event_id
"""
_PEND_WITHOUT_DOCUMENT: Final = """
update run_events set state = 'pending',
  reasons = '[{"code": "internal_error", "message": "tried again by the accounting connector", "detail": null}]'
where run_id = $1 and state = 'draft' and document_id is null
returning billing_event_id
"""
_TAKE_UP_FAILED: Final = """
update run_events set state = 'draft', reasons = null
where run_id = $1 and state = 'failed' and document_id is null and not let_go
"""
_REMAINDER: Final = """
select count(*) filter (where state = 'pending') as pending,
  count(*) filter (where state = 'failed' and document_id is null) as failed,
  exists (
    select from runs join run_documents as moved on moved.run_id = runs.quarantine_run_id
    where runs.run_id = $1 and moved.drafted_by_run_id = $1) as has_moved,
  coalesce((select status in ('completed_with_errors', 'failed') from executions
    where run_id = $1 and step = 'release' order by number desc limit 1), false) as release_failed
from run_events where run_id = $1 and state in ('pending', 'failed')
"""
_FIRST_REASONS: Final = """
select reason.value ->> 'code' as code, min(reason.value ->> 'message') as message, count(*) as events
from run_events cross join lateral jsonb_array_elements(reasons) as reason
where run_id = $1 and state = 'failed' and document_id is null
group by reason.value ->> 'code' order by count(*) desc, reason.value ->> 'code' limit 3
"""
_WITHOUT_DOCUMENT: Final = """
select count(*) from run_events where run_id = $1 and state = any($2::text[]) and document_id is null
"""
_IDS_WITHOUT_DOCUMENT: Final = """
select billing_event_id from run_events where run_id = $1 and state = $2 and document_id is null
order by billing_event_id
"""


async def fail_without_document(connection: Connection, run_id: str) -> list[str]:
    """Give up the claimed events of which the process run has made neither a document nor an answer; their ids."""
    rows = await connection.fetch(_FAIL_WITHOUT_DOCUMENT, run_id)
    return sorted(row["billing_event_id"] for row in rows)


async def pend_without_document(connection: Connection, run_id: str) -> list[str]:
    """Note that the connector tries the events again of which it has made no document and no answer; their ids."""
    rows = await connection.fetch(_PEND_WITHOUT_DOCUMENT, run_id)
    return sorted(row["billing_event_id"] for row in rows)


async def take_up_failed(connection: Connection, run_id: str) -> None:
    """Let the failed events that the run still holds be tried again, or let go."""
    await connection.execute(_TAKE_UP_FAILED, run_id)


async def remainder_of(connection: Reader, run_id: str) -> Remainder:
    """What the run has left beside the documents that are in it."""
    row = await connection.fetchrow(_REMAINDER, run_id)
    assert row is not None
    return Remainder(
        row["failed"],
        row["pending"],
        has_moved=row["has_moved"],
        release_failed=row["release_failed"],
    )


async def first_reasons(connection: Reader, run_id: str) -> list[tuple[str, str, int]]:
    """Why events failed: the most frequent codes, each with one message and how many events it is about."""
    rows = await connection.fetch(_FIRST_REASONS, run_id)
    return [(row["code"], row["message"], row["events"]) for row in rows]


async def count_without_document(connection: Reader, run_id: str, states: Sequence[str]) -> int:
    """How many events in these states no document bills."""
    return int(await connection.fetchval(_WITHOUT_DOCUMENT, run_id, states))


async def ids_without_document(connection: Reader, run_id: str, state: str) -> list[str]:
    """The ids of the events in this state that no document bills, in order."""
    rows = await connection.fetch(_IDS_WITHOUT_DOCUMENT, run_id, state)
    return [row["billing_event_id"] for row in rows]
