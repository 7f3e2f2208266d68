"""Lists of documents for those who look: heads, newest last."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from accounting_connector.store.connection import Reader

_LIST: Final = """
select * from documents
where ($1::text is null or kind = $1) and ($2::text is null or status = $2)
  and ($3::text is null or account_id = $3) and ($4::text is null or billing_run_id = $4)
  and ($5::text is null or billing_event_ids @> array[$5])
  and ($6::timestamptz is null or (created_at, document_id) > ($6, $7))
order by created_at, document_id limit $8
"""


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """What a list of documents is restricted to; None: not restricted."""

    kind: str | None = None
    status: str | None = None
    account_id: str | None = None
    billing_run_id: str | None = None
    billing_event_id: str | None = None


async def list_documents(
    connection: Reader, asked: DocumentFilter, after: tuple[datetime.datetime, str] | None, limit: int
) -> Sequence["asyncpg.Record"]:
    """Rows of documents in the order of their making, after this one, at most `limit`."""
    created_at, document_id = after or (None, None)
    rows: list[Any] = await connection.fetch(
        _LIST,
        asked.kind,
        asked.status,
        asked.account_id,
        asked.billing_run_id,
        asked.billing_event_id,
        created_at,
        document_id,
        limit,
    )
    return rows
