"""Documents as their corrections see them, and what those have taken (documents.md sections 3.2 and 3.4)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from accounting_connector.domain.corrections import CreditedLine, Original, Part, Rate
from accounting_connector.domain.documents import as_original
from accounting_connector.store import documents
from accounting_connector.store.connection import Connection, Reader

# Corrections are of the other kind. One that was taken back counts no more, as far as its own mirrors go.
_EACH: Final = """
select correction.corrects_document_id as document_id, tax.category, tax.rate, tax.taxable, tax.tax
from documents as correction
join documents as original on original.document_id = correction.corrects_document_id
join document_taxes as tax on tax.document_id = correction.document_id
where {condition} and correction.status <> 'cancelled' and correction.kind <> original.kind
union all
select correction.corrects_document_id, tax.category, tax.rate, -tax.taxable, -tax.tax
from documents as correction
join documents as original on original.document_id = correction.corrects_document_id
join documents as back on back.mirrors_document_id = correction.document_id and back.status <> 'cancelled'
join document_taxes as tax on tax.document_id = back.document_id
where {condition} and correction.kind <> original.kind
"""
_SUMMED: Final = """
select document_id, category, rate, sum(taxable) as net, sum(tax) as tax
from ({taken}) as taken group by document_id, category, rate
"""
_TAKEN: Final = _SUMMED.format(
    taken=_EACH.format(condition="correction.corrects_document_id = any($1::text[])")
)
TAKEN_OF_ALL: Final = _SUMMED.format(taken=_EACH.format(condition="true"))
"""What corrections have taken of every document, per rate."""

_CORRECTIONS_THEMSELVES: Final = """
select correction.document_id from documents as correction
join documents as original on original.document_id = correction.corrects_document_id
where correction.document_id = any($1::text[]) and correction.kind <> original.kind
"""
_CREDITED_LINES: Final = """
select correction.corrects_document_id as document_id, event.body ->> 'corrects_billing_event_id' as billing_event_id,
  item ->> 'corrects_item_id' as corrects_item_id, line.product, line.tax_category, line.tax_rate, line.amount
from documents as correction
join documents as original on original.document_id = correction.corrects_document_id
join document_lines as line on line.document_id = correction.document_id
join billing_events as event on event.billing_event_id = line.billing_event_id
left join lateral jsonb_array_elements(event.body -> 'items') as item
  on item ->> 'item_id' = line.billing_event_item_id
where correction.corrects_document_id = any($1::text[]) and correction.status <> 'cancelled'
  and correction.kind <> original.kind and correction.mirrors_document_id is null
  and not exists (select from documents as back where back.mirrors_document_id = correction.document_id)
order by correction.document_id, line.place
"""


async def originals_of_events(connection: Reader, billing_event_ids: Iterable[str]) -> dict[str, Original]:
    """The validated documents of these events as corrections see them, by event; without locking."""
    by_event = await documents.validated_documents_of(connection, billing_event_ids)
    originals = await load_originals(connection, by_event.values())
    return {event_id: originals[document_id] for event_id, document_id in by_event.items()}


async def load_originals(connection: Reader, document_ids: Iterable[str]) -> dict[str, Original]:
    """These documents as corrections see them, by id. Locked ones stay so until the transaction ends."""
    loaded = await documents.load_documents(connection, document_ids)
    if not loaded:
        return {}
    ids = list(loaded)
    taken: dict[str, dict[Rate, Part]] = {}
    for row in await connection.fetch(_TAKEN, ids):
        taken.setdefault(row["document_id"], {})[row["category"], row["rate"]] = Part(row["net"], row["tax"])
    themselves = {row["document_id"] for row in await connection.fetch(_CORRECTIONS_THEMSELVES, ids)}
    return {
        document_id: as_original(
            stored.document, taken.get(document_id, {}), is_correction=document_id in themselves
        )
        for document_id, stored in loaded.items()
    }


async def lock_originals(connection: Connection, document_ids: Iterable[str]) -> dict[str, Original]:
    """Lock these documents like `documents.lock_heads`, and read them as corrections see them."""
    ids = set(document_ids)
    if not ids:
        return {}
    await documents.lock_heads(connection, ids)
    return await load_originals(connection, ids)


async def load_credited_lines(
    connection: Connection, document_ids: Iterable[str]
) -> dict[str, list[CreditedLine]]:
    """The lines of the corrections of these documents that count, mirrors left aside, by original."""
    found: dict[str, list[CreditedLine]] = {}
    for row in await connection.fetch(_CREDITED_LINES, list(document_ids)):
        found.setdefault(row["document_id"], []).append(_credited(row))
    return found


def _credited(row: Mapping[str, Any]) -> CreditedLine:
    rate = (row["tax_category"], row["tax_rate"])
    return CreditedLine(
        row["billing_event_id"] or "", row["corrects_item_id"], row["product"], rate, row["amount"]
    )
