"""Documents that release has heard of and that are not here: a restored database has forgotten them."""

import datetime
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from accounting_connector.store.connection import Connection

_NOTE: Final = """
insert into told_documents (document_id, billing_event_id, number, date)
select given.*
from unnest($1::text[], $2::text[], $3::text[], $4::date[]) as given (document_id, billing_event_id, number, date)
where not exists (
  select from documents
  where documents.document_id = given.document_id and documents.number = given.number)
on conflict do nothing
"""


@dataclass(frozen=True, slots=True)
class ToldDocument:
    """A document as release tells that it was written back to a billing event."""

    document_id: str
    billing_event_id: str
    number: str
    date: datetime.date


async def note_unknown(connection: Connection, told: Collection[ToldDocument]) -> None:
    """Keep those of which the tables hold no document with that number; there are none but after a restore."""
    await connection.execute(
        _NOTE,
        [each.document_id for each in told],
        [each.billing_event_id for each in told],
        [each.number for each in told],
        [each.date for each in told],
    )
