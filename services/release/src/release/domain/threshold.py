"""The threshold alert of a tracked project: once per crossing, armed again below (domain.md section 3)."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from release.domain.cap_state import ProjectCap
from shared.money import ZERO, exact_product

_PERCENT: Final = Decimal(100)
_RATIO_STEP: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class ThresholdCrossing:
    """A project's billed ÷ bookings has come from below its threshold to it, or above.

    `ratio` is rounded to four decimals, for showing; None where there are no bookings to divide by. `alert_threshold`
    is in percent.
    """

    project_id: str
    currency: str
    bookings: Decimal
    released: Decimal
    ratio: Decimal | None
    alert_threshold: Decimal
    alert_recipient: str | None


def is_threshold_reached(cap: ProjectCap) -> bool:
    """Whether billed ÷ bookings is not below the threshold; without bookings, whether anything is released.

    Never for a project without a threshold.
    """
    if cap.alert_threshold is None:
        return False
    released = cap.released_in(cap.currency)
    if cap.bookings <= ZERO:
        return released > ZERO
    return exact_product(released, _PERCENT) >= exact_product(cap.alert_threshold, cap.bookings)


def threshold_crossing(before: ProjectCap, after: ProjectCap) -> ThresholdCrossing | None:
    """The crossing that a release or changed bookings made, if any: from below the threshold to not below it.

    Both states are of the same project and hold the threshold of the later one; only a tracked project is watched.
    Since a crossing starts below, the alert comes once, and again only after the ratio fell below.
    """
    threshold = after.alert_threshold
    if (
        threshold is None
        or not after.tracked
        or is_threshold_reached(before)
        or not is_threshold_reached(after)
    ):
        return None
    released = after.released_in(after.currency)
    return ThresholdCrossing(
        project_id=after.project_id,
        currency=after.currency,
        bookings=after.bookings,
        released=released,
        ratio=_ratio(released, after.bookings),
        alert_threshold=threshold,
        alert_recipient=after.alert_recipient,
    )


def _ratio(released: Decimal, bookings: Decimal) -> Decimal | None:
    if bookings <= ZERO:
        return None
    return (released / bookings).quantize(_RATIO_STEP, rounding=ROUND_HALF_UP)
