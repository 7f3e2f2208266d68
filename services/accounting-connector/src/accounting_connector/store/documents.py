"""Documents with their lines and taxes: written once, read, locked; only their state changes."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from decimal import Decimal
from typing import Any, Final

from accounting_connector.domain.documents import Document, DocumentLine, DocumentStatus
from accounting_connector.domain.eligibility import LeftOutItem
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.tax import TaxTotal
from accounting_connector.store.connection import Connection, Reader, json_list
from accounting_connector.store.parties import party_body, party_of
from accounting_connector.store.reason_bodies import reason_bodies, reasons_of
from shared.money import format_number

# Ids hold no comma, and unnest would flatten arrays of arrays.
_INSERT: Final = """
insert into documents (
  document_id, kind, status, number, date, due_date, currency, billing_event_currency, account_id, account, company_id,
  company, engagement, customer_reference, billing_event_ids, billing_run_id, process_run_id, total_net, total_tax,
  total_gross, line_count, excluded_items, corrects_document_id, mirrors_document_id, collection_date, payment_days,
  additional_fields, starter, left_out_items, warnings, supplements_document_id)
select document_id, kind, status, number, date, due_date, currency, billing_event_currency, account ->> 'id', account,
  company ->> 'id', company, engagement, customer_reference, string_to_array(billing_event_ids, ','), billing_run_id,
  process_run_id, total_net, total_tax, total_gross, line_count, string_to_array(excluded_items, ','),
  corrects_document_id, mirrors_document_id, collection_date, payment_days, additional_fields, starter, left_out_items,
  warnings, supplements_document_id
from unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::date[], $6::date[], $7::text[], $8::text[], $9::jsonb[],
  $10::jsonb[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::numeric[], $17::numeric[],
  $18::numeric[], $19::int[], $20::text[], $21::text[], $22::text[], $23::date[], $24::int[], $25::jsonb[],
  $26::jsonb[], $27::jsonb[], $28::jsonb[], $29::text[]) as made (
  document_id, kind, status, number, date, due_date, currency, billing_event_currency, account, company, engagement,
  customer_reference, billing_event_ids, billing_run_id, process_run_id, total_net, total_tax, total_gross, line_count,
  excluded_items, corrects_document_id, mirrors_document_id, collection_date, payment_days, additional_fields, starter,
  left_out_items, warnings, supplements_document_id)
"""
_LINE_COLUMNS: Final = (
    "document_id",
    "place",
    "billing_event_id",
    "billing_event_item_id",
    "description",
    "product",
    "quantity",
    "unit_price",
    "amount",
    "tax_category",
    "tax_rate",
    "additional_fields",
)
_TAX_COLUMNS: Final = ("document_id", "place", "category", "rate", "taxable", "tax", "reason", "reason_code")
_LOAD: Final = "select * from documents where document_id = any($1::text[])"
_LOCK: Final = f"{_LOAD} order by document_id for no key update"
_LOCK_HEADS: Final = """
select document_id, status, billing_run_id, starter from documents where document_id = any($1::text[])
order by document_id for no key update
"""
_NUMBERS: Final = """
select document_id, number, date from documents where document_id = any($1::text[]) and status = 'validated'
"""
_LINES: Final = "select * from document_lines where document_id = any($1::text[]) order by document_id, place"
_TAXES: Final = "select * from document_taxes where document_id = any($1::text[]) order by document_id, place"
_EVENT_IDS: Final = "select document_id, billing_event_ids from documents where document_id = any($1::text[])"
_VALIDATE: Final = """
update documents as document set status = 'validated', number = given.number, date = given.date,
  due_date = given.due_date, warnings = given.warnings
from unnest($1::text[], $2::text[], $3::date[], $4::date[], $5::jsonb[])
  as given (document_id, number, date, due_date, warnings)
where document.document_id = given.document_id and document.status = 'draft'
"""
_CANCEL: Final = (
    "update documents set status = 'cancelled' where document_id = any($1::text[]) and status = 'draft'"
)
_VALIDATED_OF_EVENTS: Final = """
select live.billing_event_id, live.document_id
from live_documents as live join documents as document using (document_id)
where live.billing_event_id = any($1::text[]) and document.status = 'validated'
"""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document with what is kept beside it: who asked for it, and in which process run."""

    document: Document
    process_run_id: str | None
    starter: Mapping[str, Any] | None
    created_at: datetime.datetime | None = None
    """When it was stored; None before that."""


@dataclass(frozen=True, slots=True)
class DocumentHead:
    """What those who make files need of a locked document."""

    status: DocumentStatus
    billing_run_id: str | None
    starter: Mapping[str, Any] | None


async def insert_documents(connection: Connection, documents: Sequence[StoredDocument]) -> None:
    """Store new documents whole."""
    made = [stored.document for stored in documents]
    await connection.execute(
        _INSERT,
        [document.document_id for document in made],
        [document.kind.value for document in made],
        [document.status.value for document in made],
        [document.number for document in made],
        [document.date for document in made],
        [document.due_date for document in made],
        [document.currency for document in made],
        [document.billing_event_currency for document in made],
        [party_body(document.account) for document in made],
        [party_body(document.company) for document in made],
        [document.engagement for document in made],
        [document.customer_reference for document in made],
        [",".join(document.billing_event_ids) for document in made],
        [document.billing_run_id for document in made],
        [stored.process_run_id for stored in documents],
        [document.total_net for document in made],
        [document.total_tax for document in made],
        [document.total_gross for document in made],
        [len(document.lines) for document in made],
        [",".join(document.excluded_items) for document in made],
        [document.corrects_document_id for document in made],
        [document.mirrors_document_id for document in made],
        [document.collection_date for document in made],
        [document.payment_days for document in made],
        [dict(document.additional_fields) for document in made],
        [stored.starter for stored in documents],
        [json_list([_left_out_row(item) for item in document.left_out_items]) for document in made],
        [json_list(reason_bodies(document.warnings)) for document in made],
        [document.supplements_document_id for document in made],
    )
    await _insert_lines(connection, made)
    await _insert_taxes(connection, made)


async def _insert_lines(connection: Connection, documents: Iterable[Document]) -> None:
    rows = [
        (
            document.document_id,
            place,
            line.billing_event_id,
            line.billing_event_item_id,
            line.description,
            line.product,
            line.quantity,
            line.unit_price,
            line.amount,
            line.tax_category,
            line.tax_rate,
            dict(line.additional_fields) if line.additional_fields else None,
        )
        for document in documents
        for place, line in enumerate(document.lines, 1)
    ]
    await connection.copy_records_to_table("document_lines", records=rows, columns=_LINE_COLUMNS)


async def _insert_taxes(connection: Connection, documents: Iterable[Document]) -> None:
    rows = [
        (document.document_id, place, *astuple(total))
        for document in documents
        for place, total in enumerate(document.taxes, 1)
    ]
    await connection.copy_records_to_table("document_taxes", records=rows, columns=_TAX_COLUMNS)


async def event_ids_of(connection: Reader, document_ids: Iterable[str]) -> dict[str, list[str]]:
    """The ids of the events that these documents hold, by document id; they never change."""
    rows = await connection.fetch(_EVENT_IDS, list(document_ids))
    return {row["document_id"]: row["billing_event_ids"] for row in rows}


async def lock_documents(connection: Connection, document_ids: Iterable[str]) -> dict[str, StoredDocument]:
    """Lock these documents `for no key update` in the order of their ids, and read them whole.

    In a transaction that also locks billing events, those come first.
    """
    return await with_lines(connection, await connection.fetch(_LOCK, sorted(set(document_ids))))


async def lock_heads(connection: Connection, document_ids: Iterable[str]) -> dict[str, DocumentHead]:
    """Lock these documents like `lock_documents`, without reading their lines."""
    rows = await connection.fetch(_LOCK_HEADS, sorted(set(document_ids)))
    return {
        row["document_id"]: DocumentHead(DocumentStatus(row["status"]), row["billing_run_id"], row["starter"])
        for row in rows
    }


async def numbers_of(connection: Reader, document_ids: Iterable[str]) -> dict[str, tuple[str, datetime.date]]:
    """Number and date of validated documents, by id."""
    ids = list(set(document_ids))
    rows = await connection.fetch(_NUMBERS, ids) if ids else []
    return {row["document_id"]: (row["number"], row["date"]) for row in rows}


async def load_documents(connection: Reader, document_ids: Iterable[str]) -> dict[str, StoredDocument]:
    """These documents whole, by id, without locking; ids that are not known are left out."""
    return await with_lines(connection, await connection.fetch(_LOAD, list(set(document_ids))))


async def validate_documents(connection: Connection, documents: Sequence[Document]) -> None:
    """Give locked drafts their number and dates."""
    await connection.execute(
        _VALIDATE,
        [document.document_id for document in documents],
        [document.number for document in documents],
        [document.date for document in documents],
        [document.due_date for document in documents],
        [json_list(reason_bodies(document.warnings)) for document in documents],
    )


async def cancel_documents(connection: Connection, document_ids: Sequence[str]) -> None:
    """Cancel locked drafts."""
    await connection.execute(_CANCEL, document_ids)


async def validated_documents_of(connection: Reader, billing_event_ids: Iterable[str]) -> dict[str, str]:
    """The validated live documents of these events: document ids by event id."""
    ids = list(set(billing_event_ids))
    rows = await connection.fetch(_VALIDATED_OF_EVENTS, ids) if ids else []
    return {row["billing_event_id"]: row["document_id"] for row in rows}


async def with_lines(connection: Reader, rows: Sequence[Mapping[str, Any]]) -> dict[str, StoredDocument]:
    """Whole documents from their rows, by id."""
    if not rows:
        return {}
    ids = [row["document_id"] for row in rows]
    lines: dict[str, list[DocumentLine]] = {document_id: [] for document_id in ids}
    for row in await connection.fetch(_LINES, ids):
        lines[row["document_id"]].append(_line_of(row))
    taxes: dict[str, list[TaxTotal]] = {document_id: [] for document_id in ids}
    for row in await connection.fetch(_TAXES, ids):
        total = TaxTotal(
            row["category"], row["rate"], row["taxable"], row["tax"], row["reason"], row["reason_code"]
        )
        taxes[row["document_id"]].append(total)
    return {
        row["document_id"]: stored_document_of(
            row, tuple(lines[row["document_id"]]), tuple(taxes[row["document_id"]])
        )
        for row in rows
    }


def stored_document_of(
    row: Mapping[str, Any], lines: tuple[DocumentLine, ...], taxes: tuple[TaxTotal, ...]
) -> StoredDocument:
    """A document from its row, its lines and taxes."""
    document = Document(
        document_id=row["document_id"],
        kind=DocumentKind(row["kind"]),
        status=DocumentStatus(row["status"]),
        number=row["number"],
        date=row["date"],
        due_date=row["due_date"],
        currency=row["currency"],
        billing_event_currency=row["billing_event_currency"],
        account=party_of(row["account"]),
        company=party_of(row["company"]),
        engagement=row["engagement"],
        customer_reference=row["customer_reference"],
        billing_event_ids=tuple(row["billing_event_ids"]),
        billing_run_id=row["billing_run_id"],
        lines=lines,
        taxes=taxes,
        total_net=row["total_net"],
        total_tax=row["total_tax"],
        total_gross=row["total_gross"],
        excluded_items=tuple(row["excluded_items"]),
        corrects_document_id=row["corrects_document_id"],
        supplements_document_id=row["supplements_document_id"],
        mirrors_document_id=row["mirrors_document_id"],
        collection_date=row["collection_date"],
        payment_days=row["payment_days"],
        additional_fields=row["additional_fields"],
        warnings=reasons_of(row["warnings"]),
        left_out_items=tuple(_left_out_of(each) for each in row["left_out_items"]),
    )
    return StoredDocument(document, row["process_run_id"], row["starter"], row["created_at"])


def _left_out_row(item: LeftOutItem) -> dict[str, str | None]:
    return {
        "billing_event_id": item.billing_event_id,
        "item_id": item.item_id,
        "business_record_id": item.business_record_id,
        "amount": format_number(item.amount),
        "criterion": item.criterion,
    }


def _left_out_of(row: Mapping[str, Any]) -> LeftOutItem:
    return LeftOutItem(
        row["billing_event_id"],
        row["item_id"],
        row["business_record_id"],
        Decimal(row["amount"]),
        row["criterion"],
    )


def _line_of(row: Mapping[str, Any]) -> DocumentLine:
    return DocumentLine(
        line_id=f"{row['document_id']}.{row['place']}",
        billing_event_id=row["billing_event_id"],
        billing_event_item_id=row["billing_event_item_id"],
        description=row["description"],
        product=row["product"],
        quantity=row["quantity"],
        unit_price=row["unit_price"],
        amount=row["amount"],
        tax_category=row["tax_category"],
        tax_rate=row["tax_rate"],
        additional_fields=row["additional_fields"] or {},
    )
