"""Which dates documents may have (documents.md section 4)."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting_connector.domain.companies import Address, Company, CompanySettings, DateOrder, Party
from accounting_connector.domain.dates import DateRules, check_date, date_rules_of, series_opened

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "in_and_out.json").read_text("utf-8")
)["cases"]
TODAY = date(2026, 11, 28)


def day_of(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def rules_of(settings: dict[str, Any], country: str = "GB") -> DateRules:
    order = settings.get("date_order")
    return date_rules_of(
        Company(
            Party("C-1", "Survey", None, Address(country=country)),
            CompanySettings(
                date_order=None if order is None else DateOrder(order),
                days_ahead_max=settings.get("days_ahead_max"),
                closed_through=day_of(settings.get("closed_through")),
            ),
        )
    )


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in CASES if case["rule"] == "4 invoice date"]
)
def test_the_given_dates(case: dict[str, Any]) -> None:
    asked = case["input"]
    found = check_date(
        date.fromisoformat(asked["wanted"]),
        today=date.fromisoformat(asked["today"]),
        rules=rules_of(asked["settings"], asked.get("company_country", "GB")),
        last_date=day_of(asked["series_last_date"]),
    )
    assert [reason.code for reason in found.reasons] == case["expect"]["codes"]
    if not found.reasons:
        assert [warning.code for warning in found.warnings] == case["expect"]["warnings"]


@pytest.mark.parametrize("country", ["ES", "FR", "IT", "PT"])
def test_where_the_law_wants_order_no_day_ahead_is_taken(country: str) -> None:
    rules = rules_of({}, country)
    tomorrow = TODAY + timedelta(days=1)
    (reason,) = check_date(tomorrow, today=TODAY, rules=rules, last_date=TODAY).reasons
    assert (reason.code, reason.detail["last_allowed"]) == ("date_too_far_ahead", "2026-11-28")
    # A series that is ahead already goes on there.
    assert check_date(tomorrow, today=TODAY, rules=rules, last_date=tomorrow).reasons == ()
    (reason,) = check_date(TODAY, today=TODAY, rules=rules, last_date=tomorrow).reasons
    assert (reason.code, reason.detail["first_allowed"]) == ("date_before_series", "2026-11-29")
    assert rules_of({"date_order": "off"}, country).order is DateOrder.OFF


def test_a_week_ahead_is_the_most_where_nothing_is_set() -> None:
    for ahead, codes in ((7, []), (8, ["date_too_far_ahead"])):
        found = check_date(TODAY + timedelta(days=ahead), today=TODAY, rules=rules_of({}), last_date=None)
        assert [reason.code for reason in found.reasons] == codes


def test_the_reason_names_the_first_day_that_is_open() -> None:
    rules = rules_of({"closed_through": "2026-10-31"})
    (reason,) = check_date(date(2026, 10, 31), today=TODAY, rules=rules, last_date=None).reasons
    assert (reason.code, reason.detail["first_allowed"]) == ("period_closed", "2026-11-01")


def test_a_series_that_is_not_todays_is_opened_with_a_warning() -> None:
    assert series_opened(2027, today=TODAY).code == "series_opened"


@given(
    order=st.sampled_from(DateOrder),
    ahead=st.none() | st.integers(0, 400),
    closed=st.none() | st.integers(1, 400),
    wanted=st.integers(-500, 500),
    last=st.none() | st.integers(-500, 500),
)
def test_today_is_refused_only_by_the_order_of_its_series(
    order: DateOrder, ahead: int | None, closed: int | None, wanted: int, last: int | None
) -> None:
    def day(distance: int | None) -> date | None:
        return None if distance is None else TODAY + timedelta(days=distance)

    rules = DateRules(order, ahead, None if closed is None else day(-closed))
    today = check_date(TODAY, today=TODAY, rules=rules, last_date=day(last))
    assert {reason.code for reason in today.reasons} <= {"date_before_series"}
    other = check_date(TODAY + timedelta(days=wanted), today=TODAY, rules=rules, last_date=day(last))
    codes = [finding.code for finding in (*other.reasons, *other.warnings)]
    assert len(set(codes)) == len(codes)
    assert not {"date_too_far_ahead", "date_in_future"} <= set(codes)
