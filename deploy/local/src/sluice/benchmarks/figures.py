"""What a benchmark finds: figures with their limits, and where the time went."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

HIGHER: Final = "at least"
LOWER: Final = "at most"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `limit` is what the machine could do at best, measured beside it, in the same unit."""

    what: str
    value: float
    unit: str
    limit: float | None = None
    limit_what: str = ""

    @property
    def ratio(self) -> float | None:
        """The value's share of the limit; None where there is none."""
        return None if self.limit is None else self.value / self.limit


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to reach: a value, or a share of its limit where `is_ratio`."""

    bound: float
    is_ratio: bool = False
    sense: str = HIGHER

    def is_met(self, figure: Figure) -> bool:
        """Whether the figure reaches it."""
        value = figure.ratio if self.is_ratio else figure.value
        if value is None:
            return False
        return value >= self.bound if self.sense == HIGHER else value <= self.bound


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure and what it is to reach."""

    figure: Figure
    goals: tuple[Goal, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark found.

    `how` says in sentences what was done. `seconds_by_process` is the processor time that each process used meanwhile;
    `details` are further counts, for the reader.
    """

    code: str
    title: str
    how: str
    measured: tuple[Measured, ...]
    elapsed_seconds: float
    seconds_by_process: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
