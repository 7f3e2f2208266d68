"""Stages of a billing event and how it may move between them (domain.md section 1)."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class Stage(StrEnum):
    """Where a billing event stands. An item's state is its event's: derived, never stored apart."""

    INCOMPLETE = "incomplete"
    AWAITING_RELEASE = "awaiting_release"
    QUEUED = "queued"
    RELEASED = "released"
    INVOICED = "invoiced"
    REVERTING = "reverting"
    REVERTED = "reverted"
    CLOSED = "closed"
    DELETED = "deleted"


class StageTransitionError(ValueError):
    """An event cannot go from the one stage to the other."""


UNRELEASED_STAGES: Final = frozenset({Stage.INCOMPLETE, Stage.AWAITING_RELEASE, Stage.QUEUED})
"""Stages in which PSA may still replace or delete the event."""

RELEASED_STAGES: Final = frozenset({Stage.RELEASED, Stage.INVOICED, Stage.REVERTING, Stage.CLOSED})
"""Stages in which the event is released, its records billed, and its amount on the cap ledger."""

REVERTIBLE_STAGES: Final = frozenset({Stage.RELEASED, Stage.INVOICED, Stage.CLOSED})
"""Stages that an explicit revert starts from, and that a refused one goes back to (domain.md section 2)."""

TRANSITIONS: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.INCOMPLETE: frozenset({Stage.AWAITING_RELEASE, Stage.DELETED}),
    Stage.AWAITING_RELEASE: frozenset({Stage.INCOMPLETE, Stage.QUEUED, Stage.RELEASED, Stage.DELETED}),
    Stage.QUEUED: frozenset({Stage.INCOMPLETE, Stage.AWAITING_RELEASE, Stage.RELEASED, Stage.DELETED}),
    Stage.RELEASED: frozenset({Stage.INVOICED, Stage.CLOSED, Stage.REVERTING}),
    Stage.INVOICED: frozenset({Stage.REVERTING}),
    Stage.CLOSED: frozenset({Stage.REVERTING}),
    Stage.REVERTING: frozenset({Stage.REVERTED, *REVERTIBLE_STAGES}),
    Stage.REVERTED: frozenset(),
    Stage.DELETED: frozenset(),
}
"""From each stage, the stages that may follow."""


def require_transition(current: Stage, following: Stage) -> None:
    """Make sure that an event may go from one stage to the other.

    Raises StageTransitionError where it may not; staying in a stage is no transition and raises it too.
    """
    if following not in TRANSITIONS[current]:
        raise StageTransitionError(f"a billing event cannot go from {current} to {following}")


def stage_when_completed(current: Stage, *, waits: bool) -> Stage:
    """The stage of an unreleased event after it was completed (again): a queued one stays queued unless it waits."""
    if waits:
        return Stage.INCOMPLETE
    return Stage.AWAITING_RELEASE if current is Stage.INCOMPLETE else current


def is_batch_released(stages: Iterable[Stage]) -> bool:
    """Whether a billing event batch is Released: all its events are, reverted and deleted ones left aside.

    A batch of which nothing else is left is not released.
    """
    counted = [stage for stage in stages if stage not in {Stage.REVERTED, Stage.DELETED}]
    return bool(counted) and all(stage in RELEASED_STAGES for stage in counted)
