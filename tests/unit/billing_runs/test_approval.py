"""What gives numbers in a run, and who may (domain.md section 5)."""

import pytest

from billing_runs.domain.approval import (
    course,
    is_second_person,
    leads_to_numbers,
    numbers_at_once,
    process_type_problems,
)
from billing_runs.domain.lifecycle import Action, ExecutionState, RunState, Status
from billing_runs.domain.settings import ProcessType

NUMBERING = frozenset({Status.DRAFT_INVOICES, Status.REJECTED, Status.VALIDATING})
CREATOR = {"user_id": "u1", "email": None}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("action", Action)
def test_a_manual_run_is_numbered_by_process_where_that_leads_to_validating(
    status: Status, action: Action
) -> None:
    state = RunState(status, ExecutionState.IDLE)
    numbers = action is Action.PROCESS and status in NUMBERING

    assert numbers_at_once(state, action) is numbers
    assert leads_to_numbers(state, action, ProcessType.MANUAL) is numbers
    assert leads_to_numbers(state, action, ProcessType.AUTOMATIC) is numbers


@pytest.mark.parametrize("status", [Status.NEW, Status.OPEN, Status.CREATING_INVOICES, Status.DRAFT_INVOICES])
def test_whatever_lets_a_full_automatic_run_go_on_leads_to_numbers(status: Status) -> None:
    state = RunState(status, ExecutionState.IDLE)

    leading = {action for action in Action if leads_to_numbers(state, action, ProcessType.FULL_AUTOMATIC)}

    assert leading == {Action.PROCESS, Action.CLOSE, Action.ENABLE}


def test_a_cancel_that_is_taken_up_again_gives_no_numbers() -> None:
    state = RunState(Status.CANCELLING, ExecutionState.FAILED)

    assert not leads_to_numbers(state, Action.PROCESS, ProcessType.FULL_AUTOMATIC)


def test_a_second_person_is_another_user_than_the_creator() -> None:
    assert is_second_person(CREATOR, {"user_id": "u2", "email": None})
    assert not is_second_person(CREATOR, CREATOR | {"email": "other@example.com"})
    assert not is_second_person(CREATOR, None)
    assert not is_second_person(None, None)
    assert is_second_person(None, CREATOR)


def test_under_four_eyes_no_run_goes_to_the_end_by_itself() -> None:
    assert course(ProcessType.FULL_AUTOMATIC, four_eyes=True) is ProcessType.AUTOMATIC
    assert course(ProcessType.FULL_AUTOMATIC, four_eyes=False) is ProcessType.FULL_AUTOMATIC
    assert course(ProcessType.MANUAL, four_eyes=True) is ProcessType.MANUAL
    problems = {kind: list(process_type_problems(kind, four_eyes=True)) for kind in ProcessType}
    assert [kind for kind, found in problems.items() if found] == [ProcessType.FULL_AUTOMATIC]
    assert not list(process_type_problems(ProcessType.FULL_AUTOMATIC, four_eyes=False))
