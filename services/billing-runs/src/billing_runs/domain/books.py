"""The balance of a run: every claimed billing event has exactly one fate (domain.md section 6, point 4).

claimed = validated + draft + pending + reopened + cancelled + below threshold + failed, in count and in
amount per currency. A document that moved to the quarantine run takes its events' claims along: both runs balance by
themselves.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from shared.money import exact_sum


class Fate(StrEnum):
    """What became of a claimed event. `draft` also holds those whose document is still to be made; of a `pending` one
    it failed by a fault of the connector's own, which tries again.
    """

    VALIDATED = "validated"
    DRAFT = "draft"
    PENDING = "pending"
    REOPENED = "reopened"
    CANCELLED = "cancelled"
    BELOW_THRESHOLD = "below_threshold"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """A billing event that a run claimed: its summary amount in the event's currency."""

    billing_event_id: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class SettledEvent:
    """A billing event with the fate that the run's documents and reports give it."""

    billing_event_id: str
    currency: str
    amount: Decimal
    fate: Fate


@dataclass(frozen=True, slots=True)
class Figures:
    """How many events, and their amount, in one currency."""

    events: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Difference:
    """A currency in which the two sides differ."""

    currency: str
    claimed: Figures
    settled: Figures


@dataclass(frozen=True, slots=True)
class RunBooks:
    """The balance of one run: figures by currency, of the claims and of each fate, and where they differ.

    `without_fate` and `with_surplus_fate` name the events that cause it: claimed but not settled, settled
    more often than claimed.
    """

    claimed: dict[str, Figures]
    settled: dict[Fate, dict[str, Figures]]
    differences: tuple[Difference, ...]
    without_fate: tuple[str, ...]
    with_surplus_fate: tuple[str, ...]

    @property
    def balanced(self) -> bool:
        """Whether claimed and settled agree, event by event, and in count and amount in every currency."""
        return not (self.differences or self.without_fate or self.with_surplus_fate)


_NONE = Figures(0, Decimal(0))


def balance(claimed: Iterable[ClaimedEvent], settled: Iterable[SettledEvent]) -> RunBooks:
    """Hold the claims of a run against the fates of its events (domain.md section 6, point 4)."""
    claims = list(claimed)
    fates = list(settled)
    left = _figures((claim.currency, claim.amount) for claim in claims)
    right = _figures((event.currency, event.amount) for event in fates)
    claims_by_id = Counter(claim.billing_event_id for claim in claims)
    fates_by_id = Counter(event.billing_event_id for event in fates)
    return RunBooks(
        claimed=left,
        settled={
            fate: _figures((event.currency, event.amount) for event in fates if event.fate is fate)
            for fate in Fate
        },
        differences=tuple(
            Difference(currency, left.get(currency, _NONE), right.get(currency, _NONE))
            for currency in sorted(left.keys() | right.keys())
            if left.get(currency, _NONE) != right.get(currency, _NONE)
        ),
        without_fate=tuple(sorted(claims_by_id - fates_by_id)),
        with_surplus_fate=tuple(sorted(fates_by_id - claims_by_id)),
    )


def _figures(amounts: Iterable[tuple[str, Decimal]]) -> dict[str, Figures]:
    grouped = defaultdict[str, list[Decimal]](list)
    for currency, amount in amounts:
        grouped[currency].append(amount)
    return {currency: Figures(len(group), exact_sum(group)) for currency, group in sorted(grouped.items())}
