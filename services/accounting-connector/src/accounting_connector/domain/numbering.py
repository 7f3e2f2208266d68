"""Numbers of validated documents, gapless per company, kind and year (domain.md section 4)."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from accounting_connector.domain.kinds import DocumentKind

_PREFIXES: Final = {DocumentKind.SALES_INVOICE: "SIN", DocumentKind.SALES_CREDIT_NOTE: "SCN"}


@dataclass(frozen=True, slots=True)
class Series:
    """One run of numbers and how far it has come; `last_number` 0, `last_date` None: nothing numbered yet.

    `last_date` is the latest date that it has given.
    """

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
    """The next number of the series, for a document of this date.

    After 999999 the number grows a digit. The caller has checked the date (`dates.check_date`), and holds the series'
    lock from reading it until its transaction commits. Raises ValueError for a date of another year.
    """
    if wanted_date.year != series.year:
        raise ValueError(f"{wanted_date} is not in the series of {series.year}")
    count = series.last_number + 1
    last_date = wanted_date if series.last_date is None else max(wanted_date, series.last_date)
    after = Series(series.company_id, series.kind, series.year, count, last_date)
    return Numbered(f"{_PREFIXES[series.kind]}-{series.year:04d}-{count:06d}", wanted_date, after)
