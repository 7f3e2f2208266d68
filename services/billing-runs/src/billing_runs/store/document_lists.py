"""A run's documents by filter and page (contract.md section 2, `…/documents`)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from billing_runs.store.connection import Connection, Reader
from billing_runs.store.run_documents import BODY, HEAD, StoredDocument, document_of
from shared.contracts.selections import DocumentFilter

_MATCHES: Final = """
run_id = $1
  and ($2::text is null or review = $2)
  and ($3::text is null or kind = $3)
  and ($4::text is null or account_id = $4)
  and ($5::text is null or company_id = $5)
  and ($6::text is null or currency = $6)
  and ($7::text is null or number = $7)
  and ($8::date is null or date >= $8)
  and ($9::date is null or date <= $9)
  and ($10::numeric is null or total_net >= $10)
  and ($11::numeric is null or total_net <= $11)
  and ($12::text is null or findings @> jsonb_build_array(jsonb_build_object('rule', $12::text)))
"""
# The condition is a text of ours; every value is a parameter.
_IDS: Final = f"select document_id from run_documents where {_MATCHES} order by document_id"  # noqa: S608
_PAGE: Final = (
    f"select {HEAD}, ({BODY}) - 'lines' as head from run_documents as known"  # noqa: S608
    f" where {_MATCHES} and document_id > $13 order by document_id limit $14"
)


def _values(run_id: str, document_filter: DocumentFilter) -> tuple[Any, ...]:
    return (
        run_id,
        document_filter.review,
        document_filter.kind,
        document_filter.account_id,
        document_filter.company_id,
        document_filter.currency,
        document_filter.number,
        document_filter.date_from,
        document_filter.date_to,
        document_filter.amount_min,
        document_filter.amount_max,
        document_filter.rule,
    )


async def matching_ids(connection: Connection, run_id: str, document_filter: DocumentFilter) -> list[str]:
    """The ids of the run's documents that match, in order."""
    rows = await connection.fetch(_IDS, *_values(run_id, document_filter))
    return [row["document_id"] for row in rows]


async def documents_page(
    connection: Reader, run_id: str, document_filter: DocumentFilter, *, after: str, limit: int
) -> Sequence[tuple[StoredDocument, Mapping[str, Any]]]:
    """The run's documents that match, by id, after this id; each with its body, less the lines."""
    rows = await connection.fetch(_PAGE, *_values(run_id, document_filter), after, limit)
    return [(document_of(row), row["head"]) for row in rows]
