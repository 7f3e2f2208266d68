"""Numbers and dates of documents, given in the transaction that validates them (domain.md section 4)."""

import datetime
from collections.abc import Sequence

from accounting_connector.domain.documents import Document, validate_document
from accounting_connector.domain.numbering import next_number
from accounting_connector.store import number_series
from accounting_connector.store.connection import Connection
from accounting_connector.store.number_series import SeriesKey
from shared import failpoints


async def validate_drafts(
    connection: Connection, drafts: Sequence[tuple[Document, datetime.date]]
) -> list[Document]:
    """The drafts validated, each with the next number of its series and the date wanted for it, in the order given.

    Those that want an earlier date are numbered first; a date before the last one of its series is moved up to it.
    Locks the series, the last locks of a transaction: they are held until it ends, so that no number is left out.
    """
    keys = {place: _key(document, wanted) for place, (document, wanted) in enumerate(drafts)}
    series = await number_series.lock_series(connection, keys.values())
    validated: dict[int, Document] = {}
    for place in sorted(keys, key=lambda place: drafts[place][1]):
        document, wanted = drafts[place]
        numbered = next_number(series[keys[place]], wanted)
        series[keys[place]] = numbered.series
        validated[place] = validate_document(document, numbered.number, numbered.date)
    await number_series.save_series(connection, list(series.values()))
    failpoints.hit(failpoints.NUMBER_BEFORE_INSERT)
    return [validated[place] for place in keys]


def _key(document: Document, wanted: datetime.date) -> SeriesKey:
    return document.company.id, document.kind, wanted.year
