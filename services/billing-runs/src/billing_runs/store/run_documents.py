"""The documents that are in a run, with their review: stored, read, counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import asyncpg

from billing_runs.domain.review import DocumentCounts, DocumentReview, RejectedBy, Review
from billing_runs.domain.rules import DocumentKind, FailStatus, Finding
from billing_runs.domain.statistics import CountedDocument
from billing_runs.store.connection import Connection, Reader, as_json
from shared.database.unit_of_work import NO_CAUSE, Cause
from shared.money import ZERO

_COLUMNS: Final = (
    ("document_id", "text"),
    ("run_id", "text"),
    ("drafted_by_run_id", "text"),
    ("process_run_id", "text"),
    ("kind", "text"),
    ("status", "text"),
    ("review", "text"),
    ("rejected_by", "text"),
    ("reason", "text"),
    ("findings", "jsonb"),
    ("number", "text"),
    ("date", "date"),
    ("currency", "text"),
    ("account_id", "text"),
    ("company_id", "text"),
    ("total_net", "numeric"),
    ("total_gross", "numeric"),
    ("left_out_items", "integer"),
    ("left_out_amount", "numeric"),
    ("document", "jsonb"),
)
_NAMES: Final = ", ".join(name for name, _ in _COLUMNS)
_ARRAYS: Final = ", ".join(
    f"${place}::{'text' if kind == 'jsonb' else kind}[]" for place, (_, kind) in enumerate(_COLUMNS, start=1)
)
_VALUES: Final = ", ".join(f"{name}::jsonb" if kind == "jsonb" else name for name, kind in _COLUMNS)
# The parts are column names of ours; every value is a parameter.
_INSERT: Final = (
    f"insert into run_documents ({_NAMES}) select {_VALUES} from unnest({_ARRAYS}) as given ({_NAMES})"  # noqa: S608
    " order by document_id on conflict do nothing returning document_id"
)
HEAD: Final = """
known.document_id, known.run_id, known.drafted_by_run_id, known.kind, known.status, known.review, known.rejected_by,
  known.reason, known.findings, known.number, known.date, known.currency, known.account_id, known.company_id,
  known.total_net, known.total_gross, known.refusal, known.asked, known.asked_by, known.asked_closes_events,
  known.asked_starter, known.asked_cause, known.asked_invoice_date, known.xml_file, known.pdf_file
"""
"""Everything of a document but its lines, for `document_of`; the table is named `known`."""

BODY: Final = """
known.document || jsonb_build_object('status', known.status, 'number', known.number, 'date', known.date)
  || case when known.due_date is null then '{}' else jsonb_build_object('due_date', known.due_date) end
"""
"""The document as it is now: the body as it was drafted, with what has changed since; the table is named `known`."""

_LOCK: Final = (
    f"select {HEAD} from run_documents as known where document_id = any($1::text[])"  # noqa: S608
    " order by document_id for no key update"
)
_ORIGINS: Final = (
    "select document_id, drafted_by_run_id from run_documents where document_id = any($1::text[])"
)
_BODIES: Final = (
    f"select document_id, {BODY} as document from run_documents as known where document_id = any($1::text[])"  # noqa: S608
)
_REVIEWS: Final = """
update run_documents as known
set review = given.review, rejected_by = given.rejected_by, reason = given.reason, findings = given.findings::jsonb
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
  as given (document_id, review, rejected_by, reason, findings)
where known.document_id = given.document_id
"""
_COUNTS: Final = """
select review, count(*) as documents, count(*) filter (where refusal is not null) as refused
from run_documents where run_id = $1 group by review
"""
_TOTALS: Final = """
select currency, sum(case when kind = 'sales_invoice' then total_net else -total_net end) as net
from run_documents where run_id = $1 and status <> 'cancelled' group by currency order by currency
"""
_LEFT_OUT: Final = """
select currency, sum(left_out_items) as items, sum(left_out_amount) as amount
from run_documents where run_id = $1 and status <> 'cancelled' and left_out_items > 0
group by currency order by currency
"""
_FIGURES: Final = """
select account_id, kind, status, review, currency, count(*) as documents, sum(total_net) as net,
  sum(total_gross) as gross
from run_documents where run_id = $1 group by account_id, kind, status, review, currency
"""
_MOVE: Final = "update run_documents set run_id = $2 where document_id = any($1::text[])"


@dataclass(frozen=True, slots=True)
class Asked:
    """An action that the connector has yet to answer: `validate` or `cancel`.

    `by` is the execution or review that sent it, None: it waits until no step runs. `closes_events`: a cancel closes
    the events for good, else they are free again. `starter` is who asked for it, `cause` what began it. `invoice_date`
    is the date of what is validated, in place of the run's.
    """

    action: str
    by: str | None
    closes_events: bool = False
    starter: Mapping[str, Any] | None = None
    cause: Cause = NO_CAUSE
    invoice_date: date | None = None


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """The head of a document in a run, with its review.

    `run_id` is where it is now, `drafted_by_run_id` the run that drafted it (its `billing_run_id`). `refusal` holds
    the reasons of its last validation, if that was refused. `xml_file` and `pdf_file` say how its files are: None,
    `queued`, `ready`, `failed`, `stale`. What it leaves out is written once and not read with it.
    """

    document_id: str
    run_id: str
    drafted_by_run_id: str
    kind: DocumentKind
    status: str
    review: DocumentReview
    number: str | None
    date: date | None
    currency: str
    account_id: str
    company_id: str
    total_net: Decimal
    total_gross: Decimal
    process_run_id: str | None = None
    left_out_items: int = 0
    left_out_amount: Decimal = ZERO
    refusal: Sequence[Mapping[str, Any]] | None = None
    asked: Asked | None = None
    xml_file: str | None = None
    pdf_file: str | None = None


async def insert_documents(
    connection: Connection, documents: Sequence[tuple[StoredDocument, Mapping[str, Any]]]
) -> frozenset[str]:
    """Store new drafts, each with its whole body as JSON, in the order of their ids; returns the new ids."""
    rows = [
        (
            document.document_id,
            document.run_id,
            document.drafted_by_run_id,
            document.process_run_id,
            document.kind,
            document.status,
            document.review.review,
            document.review.rejected_by,
            document.review.reason,
            as_json(finding_bodies(document.review.findings)),
            document.number,
            document.date,
            document.currency,
            document.account_id,
            document.company_id,
            document.total_net,
            document.total_gross,
            document.left_out_items,
            document.left_out_amount,
            as_json(body),
        )
        for document, body in documents
    ]
    if not rows:
        return frozenset()
    inserted = await connection.fetch(_INSERT, *(list(column) for column in zip(*rows, strict=True)))
    return frozenset(row["document_id"] for row in inserted)


async def lock_documents(connection: Connection, document_ids: Sequence[str]) -> dict[str, StoredDocument]:
    """Lock documents `for no key update`, in the order of their ids; their runs are locked before."""
    rows = await connection.fetch(_LOCK, sorted(set(document_ids)))
    return {row["document_id"]: document_of(row) for row in rows}


async def drafting_runs(connection: Reader, document_ids: Sequence[str]) -> dict[str, str]:
    """The run that drafted each of these documents; documents of no run are left out."""
    rows = await connection.fetch(_ORIGINS, document_ids)
    return {row["document_id"]: row["drafted_by_run_id"] for row in rows}


async def document_bodies(connection: Reader, document_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The whole bodies of documents, with their lines, by id."""
    rows = await connection.fetch(_BODIES, document_ids)
    return {row["document_id"]: row["document"] for row in rows}


async def save_reviews(connection: Connection, reviews: Mapping[str, DocumentReview]) -> None:
    """Write the reviews of locked documents."""
    if reviews:
        values = list(reviews.values())
        await connection.execute(
            _REVIEWS,
            list(reviews),
            [each.review for each in values],
            [each.rejected_by for each in values],
            [each.reason for each in values],
            [as_json(finding_bodies(each.findings)) for each in values],
        )


async def count_documents(connection: Reader, run_id: str) -> tuple[DocumentCounts, int]:
    """The run's documents by review, and how many live ones have a refused validation behind them."""
    rows = await connection.fetch(_COUNTS, run_id)
    counts = DocumentCounts(**{row["review"]: row["documents"] for row in rows})
    live = {Review.DRAFT, Review.SUSPECT, Review.REJECTED}
    return counts, sum(row["refused"] for row in rows if row["review"] in live)


async def net_totals(connection: Reader, run_id: str) -> dict[str, Decimal]:
    """Invoices less credit notes, net, by currency; cancelled documents are left aside."""
    return {row["currency"]: row["net"] for row in await connection.fetch(_TOTALS, run_id)}


async def left_out_totals(connection: Reader, run_id: str) -> dict[str, tuple[int, Decimal]]:
    """How many items the run's documents leave out, and their sum, by currency; cancelled documents are left aside."""
    rows = await connection.fetch(_LEFT_OUT, run_id)
    return {row["currency"]: (row["items"], row["amount"]) for row in rows}


async def counted_documents(connection: Reader, run_id: str) -> list[CountedDocument]:
    """The run's documents, counted and summed by everything that the post-invoicing report tells apart."""
    return [
        CountedDocument(
            account_id=row["account_id"],
            kind=DocumentKind(row["kind"]),
            status=row["status"],
            review=Review(row["review"]),
            currency=row["currency"],
            documents=row["documents"],
            total_net=row["net"],
            total_gross=row["gross"],
        )
        for row in await connection.fetch(_FIGURES, run_id)
    ]


async def move_documents(connection: Connection, document_ids: Sequence[str], to_run_id: str) -> None:
    """Move locked documents to another run; both runs must be locked."""
    await connection.execute(_MOVE, document_ids, to_run_id)


def finding_bodies(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings as JSON."""
    return [
        {
            "rule": finding.rule,
            "outcome": finding.outcome.value,
            "message": finding.message,
            "overridden": finding.overridden,
            "version": finding.version or None,
        }
        for finding in findings
    ]


def document_of(row: "asyncpg.Record") -> StoredDocument:
    """The document of a row."""
    rejected_by = row["rejected_by"]
    asked = None
    if row["asked"] is not None:
        closes = bool(row["asked_closes_events"])
        cause = Cause(**row["asked_cause"]) if row["asked_cause"] is not None else NO_CAUSE
        asked = Asked(
            row["asked"],
            row["asked_by"],
            closes,
            row["asked_starter"],
            cause,
            row["asked_invoice_date"],
        )
    return StoredDocument(
        document_id=row["document_id"],
        run_id=row["run_id"],
        drafted_by_run_id=row["drafted_by_run_id"],
        kind=DocumentKind(row["kind"]),
        status=row["status"],
        review=DocumentReview(
            review=Review(row["review"]),
            rejected_by=RejectedBy(rejected_by) if rejected_by is not None else None,
            reason=row["reason"],
            findings=tuple(
                Finding(
                    each["rule"],
                    FailStatus(each["outcome"]),
                    each["message"],
                    each["overridden"],
                    each.get("version") or 0,
                )
                for each in row["findings"]
            ),
        ),
        number=row["number"],
        date=row["date"],
        currency=row["currency"],
        account_id=row["account_id"],
        company_id=row["company_id"],
        total_net=row["total_net"],
        total_gross=row["total_gross"],
        refusal=row["refusal"],
        asked=asked,
        xml_file=row["xml_file"],
        pdf_file=row["pdf_file"],
    )
