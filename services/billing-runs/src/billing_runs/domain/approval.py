"""What gives numbers in a run, and so needs the scope `billing-runs:approve` and, under `FOUR_EYES`, a second person
(domain.md section 5).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from billing_runs.domain.lifecycle import LEADS_TO, Action, RunState, Status
from billing_runs.domain.refusals import Problem
from billing_runs.domain.settings import ProcessType

_LETS_IT_GO_ON: Final = frozenset({Action.PROCESS, Action.CLOSE, Action.ENABLE})
"""What may let a run that goes on by itself go on, to its end if it is full_automatic."""


def numbers_at_once(state: RunState, action: Action) -> bool:
    """Whether the action itself begins, or takes up again, the step that numbers the run's documents."""
    return action is Action.PROCESS and LEADS_TO[state.status].get(action) is Status.VALIDATING


def leads_to_numbers(state: RunState, action: Action, process_type: ProcessType) -> bool:
    """Whether numbers come of the action without another one: of a full_automatic run they come by themselves."""
    goes_to_the_end = process_type is ProcessType.FULL_AUTOMATIC and state.status is not Status.CANCELLING
    return numbers_at_once(state, action) or (goes_to_the_end and action in _LETS_IT_GO_ON)


def is_second_person(creator: Mapping[str, Any] | None, asker: Mapping[str, Any] | None) -> bool:
    """Whether the asker is a user, and another one than who created the run; a quarantine run has its origin's creator.

    A run that no user created has nobody to be another person than.
    """
    if asker is None:
        return False
    return creator is None or asker["user_id"] != creator["user_id"]


def course(process_type: ProcessType, *, four_eyes: bool) -> ProcessType:
    """How far a run goes by itself: under four eyes never to numbers, also where it was made before that was set."""
    if four_eyes and process_type is ProcessType.FULL_AUTOMATIC:
        return ProcessType.AUTOMATIC
    return process_type


def process_type_problems(process_type: ProcessType, *, four_eyes: bool) -> Iterator[Problem]:
    """Why a run or a schedule with this process type cannot be saved."""
    if four_eyes and process_type is ProcessType.FULL_AUTOMATIC:
        yield Problem(
            "process_type", "full_automatic numbers without a second person, whom FOUR_EYES asks for"
        )
