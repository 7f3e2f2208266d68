"""Numbers without gaps, for the dates that were asked for (documents.md section 4)."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.numbering import Series, next_number

INVOICES = Series("C-UK", DocumentKind.SALES_INVOICE, 2026)


def test_the_first_numbers_of_each_kind() -> None:
    assert next_number(INVOICES, date(2026, 1, 1)).number == "SIN-2026-000001"
    credit_notes = Series("C-UK", DocumentKind.SALES_CREDIT_NOTE, 2027, 41, date(2027, 3, 1))
    assert next_number(credit_notes, date(2027, 3, 2)).number == "SCN-2027-000042"


def test_after_six_digits_the_number_grows() -> None:
    series = Series("C-UK", DocumentKind.SALES_INVOICE, 2026, 999_999, date(2026, 6, 1))
    assert next_number(series, date(2026, 6, 1)).number == "SIN-2026-1000000"


def test_a_date_of_another_year_belongs_to_another_series() -> None:
    with pytest.raises(ValueError, match="not in the series of 2026"):
        next_number(INVOICES, date(2027, 1, 1))


@given(st.lists(st.integers(0, 364), min_size=1, max_size=30))
def test_numbers_have_no_gap_and_no_date_is_moved(days: list[int]) -> None:
    series, wanted = INVOICES, [date(2026, 1, 1) + timedelta(days=day) for day in days]
    for count, wanted_date in enumerate(wanted, 1):
        numbered = next_number(series, wanted_date)
        assert (numbered.number, numbered.date) == (f"SIN-2026-{count:06d}", wanted_date)
        series = numbered.series
        assert series.last_date == max(wanted[:count])
    assert series.last_number == len(days)
