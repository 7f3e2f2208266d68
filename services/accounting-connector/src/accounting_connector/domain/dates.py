"""Which date a document may have (documents.md section 4): the one that was asked for, or none; it is never moved."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from accounting_connector.domain.companies import Company, DateOrder
from accounting_connector.domain.countries import usual_code
from accounting_connector.domain.reasons import Reason

DAYS_AHEAD_MAX: Final = 7
ORDERED_COUNTRIES: Final = frozenset({"ES", "FR", "IT", "PT"})
"""Where the law wants numbers in the order of dates."""

DATE_CODES: Final = frozenset(
    {"period_closed", "date_too_far_ahead", "date_in_future", "date_before_series", "series_opened"}
)


@dataclass(frozen=True, slots=True)
class DateRules:
    """What a company sets for its dates, with what holds where it sets nothing.

    `days_ahead_max` None: under `refuse` no day after today but up to the last date of the series, else
    `DAYS_AHEAD_MAX`. `closed_through`: the last day of its closed periods.
    """

    order: DateOrder
    days_ahead_max: int | None
    closed_through: date | None


@dataclass(frozen=True, slots=True)
class DateFinding:
    """What speaks against a date, and what to look at; both in the order of section 4."""

    reasons: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()


def date_rules_of(company: Company) -> DateRules:
    """The company's rules."""
    settings = company.settings
    is_ordered = usual_code(company.party.address.country) in ORDERED_COUNTRIES
    order = settings.date_order or (DateOrder.REFUSE if is_ordered else DateOrder.WARN)
    return DateRules(order, settings.days_ahead_max, settings.closed_through)


def check_date(wanted: date, *, today: date, rules: DateRules, last_date: date | None) -> DateFinding:
    """What speaks against this date, or is to be looked at.

    `last_date`: the last date of the series; None: nothing is numbered in it yet, or the series is not known.
    """
    reasons: list[Reason] = []
    warnings: list[Reason] = []
    first = rules.closed_through + timedelta(days=1) if rules.closed_through else None
    if first is not None and wanted < first:
        reasons.append(
            _reason(
                "period_closed",
                f"{wanted} is in a closed period: {first} is the first day that is open",
                wanted,
                first_allowed=first,
            )
        )
    latest = _latest_allowed(today, rules, last_date)
    if wanted > latest:
        reasons.append(
            _reason(
                "date_too_far_ahead",
                f"{wanted} is too far ahead: {latest} is the last day that is allowed",
                wanted,
                last_allowed=latest,
            )
        )
    elif wanted > today:
        warnings.append(_reason("date_in_future", f"{wanted} is after today, {today}", wanted, today=today))
    if last_date is not None and wanted < last_date and rules.order is not DateOrder.OFF:
        message = f"{wanted} is before {last_date}, the last date of its series of numbers"
        found = _reason("date_before_series", message, wanted, first_allowed=last_date)
        (reasons if rules.order is DateOrder.REFUSE else warnings).append(found)
    return DateFinding(tuple(reasons), tuple(warnings))


def series_opened(year: int, *, today: date) -> Reason:
    """The first document of a series that is not today's."""
    message = f"It is the first document of {year}, and today is {today}"
    return Reason("series_opened", message, {"year": year, "today": today.isoformat()})


def _latest_allowed(today: date, rules: DateRules, last_date: date | None) -> date:
    if rules.days_ahead_max is not None:
        return today + timedelta(days=rules.days_ahead_max)
    if rules.order is DateOrder.REFUSE:
        # One date ahead would hold back every document until that day; where it is there, it must be possible to go on.
        return max(today, last_date or today)
    return today + timedelta(days=DAYS_AHEAD_MAX)


def _reason(code: str, message: str, wanted: date, **days: date) -> Reason:
    detail = {"date": wanted, **days}
    return Reason(code, message, {name: day.isoformat() for name, day in detail.items()})
