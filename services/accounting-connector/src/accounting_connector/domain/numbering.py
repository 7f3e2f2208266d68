"""Numbers of validated documents, gapless per company, kind and year (domain.md section 4)."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from accounting_connector.domain.lines import DocumentKind

_PREFIXES: Final = {DocumentKind.SALES_INVOICE: "SIN", DocumentKind.SALES_CREDIT_NOTE: "SCN"}


@dataclass(frozen=True, slots=True)
class Series:
    """One run of numbers and how far it has come; `last_number` 0, `last_date` None: nothing numbered yet."""

    company_id: str
    kind: DocumentKind
    year: int
    last_number: int = 0
    last_date: date | None = None


@dataclass(frozen=True, slots=True)
class Numbered:
    """The number and date of a document, and its series after it."""

    number: str
    date: date
    series: Series


def next_number(series: Series, wanted_date: date) -> Numbered:
    """The next number of the series, with the date that the document gets.

    The dates of a series never go back: a wanted date before the series' last date is moved up to that
    date, so that the order of numbers is the order of dates. After 999999 the number grows a digit. The
    caller holds the series' lock from reading it until its transaction commits. Raises ValueError for a
    date of another year.
    """
    if wanted_date.year != series.year:
        raise ValueError(f"{wanted_date} is not in the series of {series.year}")
    given = wanted_date if series.last_date is None else max(wanted_date, series.last_date)
    count = series.last_number + 1
    after = Series(series.company_id, series.kind, series.year, count, given)
    return Numbered(f"{_PREFIXES[series.kind]}-{series.year:04d}-{count:06d}", given, after)
