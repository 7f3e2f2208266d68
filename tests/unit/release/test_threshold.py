"""The threshold alert: once per crossing, armed again below (domain.md section 3)."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from release.domain.cap_state import ProjectCap
from release.domain.release import Released
from release.domain.threshold import is_threshold_reached, threshold_crossing
from unit.release.builders import decide, make_cap, make_event, make_item


def tracked(bookings: str, released: str, threshold: str | None = "80") -> ProjectCap:
    return make_cap(
        bookings,
        released,
        enforced=False,
        apply_billing_cap=True,
        alert_threshold=None if threshold is None else Decimal(threshold),
        alert_recipient="pm@example.com",
    )


def test_reaching_the_threshold_by_a_release_is_told_with_its_numbers() -> None:
    outcome = decide(make_event(make_item("i1", "50.00")), tracked("1000.00", "750.00"))
    assert isinstance(outcome, Released)
    crossing = outcome.crossing
    assert crossing is not None
    assert (crossing.project_id, crossing.bookings, crossing.released) == ("P-1", Decimal(1000), Decimal(800))
    assert (crossing.ratio, crossing.alert_threshold) == (Decimal("0.8000"), Decimal(80))
    assert crossing.alert_recipient == "pm@example.com"


@pytest.mark.parametrize(
    ("before", "after", "crosses"),
    [
        (("1000", "799.99"), ("1000", "800"), True),
        (("1000", "700"), ("1000", "799.99"), False),
        (("1000", "800"), ("1000", "900"), False),
        (("1000", "900"), ("1000", "700"), False),
        (("1000", "700"), ("875", "700"), True),
        (("1000", "700"), ("876", "700"), False),
        (("1000", "0"), ("0", "0"), False),
        (("0", "0"), ("0", "0.01"), True),
        (("0", "0"), ("0", "-0.01"), False),
        (("-5", "10"), ("-5", "20"), False),
        (("1000", "10"), ("0", "10"), True),
    ],
)
def test_a_crossing_is_from_below_to_not_below(
    before: tuple[str, str], after: tuple[str, str], crosses: bool
) -> None:
    assert (threshold_crossing(tracked(*before), tracked(*after)) is not None) == crosses


def test_it_is_armed_again_when_the_ratio_falls_below() -> None:
    states = [tracked("1000", released) for released in ("700", "800", "900", "790", "810")]
    crossings = [threshold_crossing(*pair) is not None for pair in pairwise(states)]
    assert crossings == [True, False, False, True]


def test_only_a_tracked_project_with_a_threshold_is_watched() -> None:
    below, above = tracked("1000", "0"), tracked("1000", "900")
    assert threshold_crossing(below, above) is not None
    assert threshold_crossing(below, replace(above, apply_billing_cap=False)) is None
    assert threshold_crossing(tracked("1000", "0", None), tracked("1000", "900", None)) is None
    assert not is_threshold_reached(tracked("0", "900", None))


def test_without_bookings_there_is_no_ratio() -> None:
    crossing = threshold_crossing(tracked("0", "0"), tracked("0", "10"))
    assert crossing is not None
    assert crossing.ratio is None
