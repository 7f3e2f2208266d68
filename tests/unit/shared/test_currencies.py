"""Our table of currencies (domain.md, opening section)."""

from datetime import date
from decimal import Decimal

import pytest
from iso4217 import Currency as Listed

from shared.currencies import CURRENCIES
from shared.money import UnknownCurrencyError, format_amount, had_ended, minor_unit_digits


def test_the_table_agrees_with_the_standards_list_where_both_know_a_code() -> None:
    """Nothing is asked of codes that only one of the two has: the world may change without this test."""
    listed = {each.value: each.exponent for each in Listed if each.exponent is not None}
    both = CURRENCIES.keys() & listed.keys()
    assert len(both) > 150
    assert {code: CURRENCIES[code].digits for code in both} == {code: listed[code] for code in both}


@pytest.mark.parametrize(
    ("currency", "last_day"),
    [
        ("BGN", date(2025, 12, 31)),
        ("HRK", date(2022, 12, 31)),
        ("LTL", date(2014, 12, 31)),
        ("DEM", date(2001, 12, 31)),
        ("ZWL", date(2024, 8, 31)),
    ],
)
def test_a_withdrawn_currency_is_known_with_the_day_it_ended(currency: str, last_day: date) -> None:
    assert CURRENCIES[currency].last_day == last_day
    assert not had_ended(currency, last_day)
    assert had_ended(currency, date.fromordinal(last_day.toordinal() + 1))
    assert format_amount(Decimal("1.5"), currency) == "1.50"


def test_a_currency_in_use_does_not_end() -> None:
    assert not had_ended("EUR", date(9999, 12, 31))


def test_digits_of_the_minor_unit() -> None:
    codes = ["JPY", "GBP", "KWD", "CLF", "ITL", "BGN"]
    assert [minor_unit_digits(code) for code in codes] == [0, 2, 3, 4, 0, 2]


@pytest.mark.parametrize("code", ["XAU", "XXX", "gbp", "", "ZZZ"])
def test_what_has_no_minor_unit_is_no_currency(code: str) -> None:
    with pytest.raises(UnknownCurrencyError):
        minor_unit_digits(code)
