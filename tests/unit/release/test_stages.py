"""Stages and how an event may move between them (domain.md section 1)."""

import pytest

from release.domain.stages import (
    RELEASED_STAGES,
    TRANSITIONS,
    UNRELEASED_STAGES,
    Stage,
    StageTransitionError,
    is_batch_released,
    require_transition,
    stage_when_completed,
)

ALLOWED = {
    ("incomplete", "awaiting_release"), ("incomplete", "deleted"),
    ("awaiting_release", "incomplete"), ("awaiting_release", "queued"), ("awaiting_release", "released"),
    ("awaiting_release", "deleted"),
    ("queued", "incomplete"), ("queued", "awaiting_release"), ("queued", "released"), ("queued", "deleted"),
    ("released", "invoiced"), ("released", "closed"), ("released", "reverting"),
    ("invoiced", "reverting"), ("closed", "reverting"),
    ("reverting", "reverted"), ("reverting", "released"), ("reverting", "invoiced"), ("reverting", "closed"),
}  # fmt: skip


@pytest.mark.parametrize("current", Stage)
@pytest.mark.parametrize("following", Stage)
def test_only_the_named_transitions_are_allowed(current: Stage, following: Stage) -> None:
    if (current, following) in ALLOWED:
        require_transition(current, following)
    else:
        with pytest.raises(StageTransitionError):
            require_transition(current, following)


def test_every_stage_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(Stage)
    assert not RELEASED_STAGES & UNRELEASED_STAGES


@pytest.mark.parametrize(
    ("current", "waits", "following"),
    [
        (Stage.INCOMPLETE, False, Stage.AWAITING_RELEASE),
        (Stage.INCOMPLETE, True, Stage.INCOMPLETE),
        (Stage.AWAITING_RELEASE, True, Stage.INCOMPLETE),
        (Stage.AWAITING_RELEASE, False, Stage.AWAITING_RELEASE),
        (Stage.QUEUED, False, Stage.QUEUED),
        (Stage.QUEUED, True, Stage.INCOMPLETE),
    ],
)
def test_completion_sets_the_stage(current: Stage, waits: bool, following: Stage) -> None:
    assert stage_when_completed(current, waits=waits) is following


@pytest.mark.parametrize(
    ("stages", "released"),
    [
        ("released invoiced closed reverting", True),
        ("released reverted deleted", True),
        ("released awaiting_release", False),
        ("released incomplete", False),
        ("released queued", False),
        ("reverted deleted", False),
        ("", False),
    ],
)
def test_a_batch_is_released_when_all_that_counts_is(stages: str, released: bool) -> None:
    assert is_batch_released(map(Stage, stages.split())) == released
