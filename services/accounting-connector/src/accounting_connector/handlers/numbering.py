"""Numbers and dates of documents, given in the transaction that validates them (documents.md section 4)."""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from accounting_connector.domain.dates import (
    DATE_CODES,
    DateFinding,
    check_date,
    date_rules_of,
    series_opened,
)
from accounting_connector.domain.documents import Document, validate_document
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.numbering import Series, next_number
from accounting_connector.domain.reasons import Reason, merged
from accounting_connector.store import number_series, parties
from accounting_connector.store.connection import Connection, Reader
from accounting_connector.store.number_series import SeriesKey
from accounting_connector.store.parties import StoredCompany
from shared import failpoints

SeriesOwner = tuple[str | None, DocumentKind | None]
"""Company and kind of a document: whose series of numbers it belongs to."""


class DateRefusedError(Exception):
    """A date that no document could have, with all reasons."""

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__("; ".join(reason.message for reason in reasons))
        self.reasons = reasons


@dataclass(slots=True)
class Numbered:
    """The documents that got a number, in the order in which they were given, and why others got none, by id."""

    validated: list[Document] = field(default_factory=list)
    refused: dict[str, tuple[Reason, ...]] = field(default_factory=dict)


async def validate_drafts(
    connection: Connection, drafts: Sequence[tuple[Document, datetime.date]], *, today: datetime.date
) -> Numbered:
    """The drafts validated, each with the next number of its series and the date wanted for it, or refused for it.

    They are numbered by date, kind (invoices first) and the id of their first event; a refused one uses no number.
    Locks the series, the last locks of a transaction: they are held until it ends, so that no number is left out.
    """
    companies = await parties.load_companies(connection, {document.company.id for document, _ in drafts})
    series = await number_series.lock_series(connection, [_key(each, wanted) for each, wanted in drafts])
    found = Numbered()
    validated: dict[str, Document] = {}
    for document, wanted in sorted(drafts, key=_place):
        key = _key(document, wanted)
        finding = _check(companies, series[key], wanted, today)
        if finding.reasons:
            found.refused[document.document_id] = finding.reasons
            continue
        numbered = next_number(series[key], wanted)
        series[key] = numbered.series
        made = validate_document(document, numbered.number, numbered.date)
        validated[document.document_id] = with_date_warnings(made, finding.warnings)
    await number_series.save_series(connection, list(series.values()))
    failpoints.hit(failpoints.NUMBER_BEFORE_INSERT)
    found.validated = [validated[each.document_id] for each, _ in drafts if each.document_id in validated]
    return found


async def check_dates(
    connection: Reader, company_ids: Iterable[str], wanted: datetime.date, *, today: datetime.date
) -> dict[SeriesOwner, DateFinding]:
    """What speaks against a date that is asked for, by company and kind, as the series stand now. Locks nothing."""
    companies = await parties.load_companies(connection, company_ids)
    keys = [(company_id, kind, wanted.year) for company_id in companies for kind in DocumentKind]
    series = await number_series.load_series(connection, keys)
    return {
        (company_id, kind): _check(companies, series[company_id, kind, year], wanted, today)
        for company_id, kind, year in keys
    }


async def check_asked_date(
    connection: Reader, company_ids: Iterable[str], wanted: datetime.date, *, today: datetime.date
) -> tuple[Reason, ...]:
    """What to look at in a date that is asked for documents of these companies.

    Raises DateRefusedError where it is refused for every document that there could be; where for some, these are told
    as not passed.
    """
    findings = list((await check_dates(connection, company_ids, wanted, today=today)).values())
    if findings and all(finding.reasons for finding in findings):
        raise DateRefusedError(merged(reason for finding in findings for reason in finding.reasons))
    return merged(warning for finding in findings for warning in finding.warnings)


def with_date_warnings(document: Document, warnings: Sequence[Reason]) -> Document:
    """The document with these warnings of its date in place of those that it had."""
    if not warnings and not document.warnings:
        return document
    others = (warning for warning in document.warnings if warning.code not in DATE_CODES)
    return replace(document, warnings=(*others, *warnings))


def _check(
    companies: dict[str, StoredCompany], series: Series, wanted: datetime.date, today: datetime.date
) -> DateFinding:
    rules = date_rules_of(companies[series.company_id].company)
    finding = check_date(wanted, today=today, rules=rules, last_date=series.last_date)
    if series.last_number == 0 and series.year != today.year and not finding.reasons:
        opened = series_opened(series.year, today=today)
        return replace(finding, warnings=(*finding.warnings, opened))
    return finding


def _place(draft: tuple[Document, datetime.date]) -> tuple[datetime.date, bool, str]:
    document, wanted = draft
    return wanted, document.kind is not DocumentKind.SALES_INVOICE, document.billing_event_ids[0]


def _key(document: Document, wanted: datetime.date) -> SeriesKey:
    return document.company.id, document.kind, wanted.year
