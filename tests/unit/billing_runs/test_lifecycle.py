"""What the vectors leave open in the life of a billing run (domain.md section 5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from billing_runs.domain.indicators import Indicator
from billing_runs.domain.lifecycle import (
    CREATED,
    CREATED_BY_QUARANTINE,
    ENDED,
    Action,
    ExecutionState,
    Remainder,
    RunState,
    Status,
    act,
    available_actions,
    derived,
    documents_moved_in,
    goes_on_to,
    may_start,
    refusal_of,
    step_done,
    step_failed,
    step_started,
)
from billing_runs.domain.refusals import RefusalCode
from billing_runs.domain.review import DocumentCounts
from billing_runs.domain.settings import OnSuspect, ProcessType

RUNNING = ExecutionState.RUNNING
IDLE = ExecutionState.IDLE


def _goes_on(
    state: RunState, process_type: ProcessType, refused_drafts: int = 0, drafts: int = 1
) -> Status | None:
    return goes_on_to(
        state,
        process_type=process_type,
        on_suspect=OnSuspect.AUTOMATIC_VALIDATION,
        drafts=drafts,
        suspects=0,
        refused_drafts=refused_drafts,
    )


@pytest.mark.parametrize("status", [Status.CREATING_INVOICES, Status.VALIDATING])
def test_run_in_which_no_document_was_made_is_validated(status: Status) -> None:
    after = step_done(RunState(status, RUNNING), incremental=False, documents=DocumentCounts())

    assert after == RunState(Status.VALIDATED, IDLE)


def test_run_whose_last_documents_were_moved_is_validated() -> None:
    assert derived(RunState(Status.REJECTED, IDLE), DocumentCounts()).status is Status.VALIDATED


def test_run_whose_documents_were_all_moved_has_made_something() -> None:
    running = RunState(Status.CREATING_INVOICES, RUNNING)
    remainder = Remainder(failed=1, has_moved=True, release_failed=True)

    after = step_done(running, incremental=False, documents=DocumentCounts(), remainder=remainder)

    assert after == RunState(Status.VALIDATED, IDLE)


@pytest.mark.parametrize(
    ("remainder", "expected"),
    [
        (Remainder(pending=1, failed=1), RunState(Status.DRAFT_INVOICES, IDLE)),
        (Remainder(failed=1), RunState(Status.CREATING_INVOICES, ExecutionState.FAILED)),
        (Remainder(), RunState(Status.VALIDATED, IDLE)),
    ],
)
def test_run_without_documents_waits_for_what_is_pending(remainder: Remainder, expected: RunState) -> None:
    assert derived(RunState(Status.DRAFT_INVOICES, IDLE), DocumentCounts(), remainder) == expected


def test_full_automatic_run_validates_nothing_while_it_waits_for_pending_events() -> None:
    state = RunState(Status.DRAFT_INVOICES, IDLE)

    assert _goes_on(state, ProcessType.FULL_AUTOMATIC, drafts=0) is None


def test_validating_that_leaves_drafts_goes_back_to_draft_invoices() -> None:
    documents = DocumentCounts(draft=1, validated=2)

    after = step_done(RunState(Status.VALIDATING, RUNNING), incremental=False, documents=documents)

    assert after == RunState(Status.DRAFT_INVOICES, IDLE)


def test_full_automatic_run_does_not_validate_refused_drafts_for_ever() -> None:
    state = RunState(Status.DRAFT_INVOICES, IDLE)

    assert _goes_on(state, ProcessType.FULL_AUTOMATIC, refused_drafts=0) is Status.VALIDATING
    assert _goes_on(state, ProcessType.FULL_AUTOMATIC, refused_drafts=1) is None


@pytest.mark.parametrize("execution", [ExecutionState.QUEUED, RUNNING, ExecutionState.FAILED])
def test_run_goes_on_by_itself_only_when_idle(execution: ExecutionState) -> None:
    assert _goes_on(RunState(Status.INVOICE_LINES_CREATED, execution), ProcessType.FULL_AUTOMATIC) is None


def test_run_that_was_enabled_goes_on() -> None:
    disabled = RunState(Status.INVOICE_LINES_CREATED, IDLE, disabled=True)
    assert _goes_on(disabled, ProcessType.AUTOMATIC) is None

    enabled = act(disabled, Action.ENABLE)

    assert isinstance(enabled, RunState)
    assert _goes_on(enabled, ProcessType.AUTOMATIC) is Status.CREATING_INVOICES


def test_documents_change_nothing_while_a_step_runs_and_its_end_derives_the_status() -> None:
    rendering = RunState(Status.DRAFT_INVOICES, RUNNING)
    documents = DocumentCounts(draft=1, rejected=1)

    assert derived(rendering, documents) == rendering
    assert step_done(rendering, incremental=False, documents=documents) == RunState(Status.REJECTED, IDLE)


@pytest.mark.parametrize("status", [Status.NEW, Status.OPEN, Status.INVOICE_LINES_CREATED, Status.CANCELLED])
def test_documents_say_nothing_of_a_run_that_is_not_reviewed(status: Status) -> None:
    state = RunState(status, IDLE)

    assert derived(state, DocumentCounts(rejected=1)) == state


def test_rendering_of_a_validated_run_leaves_it_validated() -> None:
    after = step_done(
        RunState(Status.VALIDATED, RUNNING), incremental=False, documents=DocumentCounts(validated=2)
    )

    assert after == RunState(Status.VALIDATED, IDLE)


def test_run_that_ends_while_disabled_counts_as_enabled() -> None:
    validating = RunState(Status.VALIDATING, RUNNING, disabled=True)
    reviewed = RunState(Status.DRAFT_INVOICES, IDLE, disabled=True)

    ended = step_done(validating, incremental=False, documents=DocumentCounts(validated=1))

    assert ended == RunState(Status.VALIDATED, IDLE)
    assert derived(reviewed, DocumentCounts(cancelled=1)) == RunState(Status.VALIDATED, IDLE)


def test_running_step_of_a_disabled_run_ends_and_leaves_it_disabled() -> None:
    state = RunState(Status.CREATING_INVOICES, RUNNING, disabled=True)

    after = step_done(state, incremental=False, documents=DocumentCounts(draft=1))

    assert after == RunState(Status.DRAFT_INVOICES, IDLE, disabled=True)


@pytest.mark.parametrize(
    "status, disabled, starts",
    [
        (Status.CREATING_INVOICES, False, True),
        (Status.CREATING_INVOICES, True, False),
        (Status.DRAFT_INVOICES, True, False),
        (Status.CANCELLING, True, True),
    ],
)
def test_queued_step_starts_unless_the_run_is_disabled_but_a_cancel_always_does(
    status: Status, disabled: bool, starts: bool
) -> None:
    assert may_start(RunState(status, ExecutionState.QUEUED, disabled)) is starts


def test_only_a_queued_step_starts_and_only_a_running_one_ends() -> None:
    idle = RunState(Status.NEW, IDLE)

    assert not may_start(idle)
    with pytest.raises(ValueError, match="not queued"):
        step_started(idle)
    with pytest.raises(ValueError, match="not running"):
        step_failed(idle)
    with pytest.raises(ValueError, match="not running"):
        step_done(idle, incremental=False, documents=DocumentCounts())


def test_ended_quarantine_run_that_is_given_documents_is_reviewed_again() -> None:
    documents = DocumentCounts(rejected=1, validated=3)

    for status in sorted(ENDED):
        assert documents_moved_in(RunState(status, IDLE), documents) == CREATED_BY_QUARANTINE


def test_quarantine_run_whose_step_runs_takes_documents_without_a_change_of_status() -> None:
    rendering = RunState(Status.VALIDATED, RUNNING)
    documents = DocumentCounts(rejected=1, validated=3)

    assert documents_moved_in(rendering, documents) == rendering
    assert step_done(rendering, incremental=False, documents=documents) == CREATED_BY_QUARANTINE


def test_quarantine_run_in_review_follows_the_documents_it_is_given() -> None:
    state = RunState(Status.DRAFT_INVOICES, IDLE)

    assert documents_moved_in(state, DocumentCounts(draft=1, rejected=1)).status is Status.REJECTED


def test_failed_rendering_is_asked_for_again_and_does_not_hold_up_validating() -> None:
    state = RunState(Status.DRAFT_INVOICES, ExecutionState.FAILED)

    assert act(state, Action.RENDER) == RunState(Status.DRAFT_INVOICES, ExecutionState.QUEUED)
    assert act(state, Action.PROCESS) == RunState(Status.VALIDATING, ExecutionState.QUEUED)


def test_available_action_carries_the_indicator_of_its_last_execution() -> None:
    offered = available_actions(RunState(Status.DRAFT_INVOICES, IDLE), {Action.PROCESS: Indicator.WARNING})

    shown = {each.action: each.indicator for each in offered}
    assert shown[Action.PROCESS] is Indicator.WARNING
    assert shown[Action.RENDER] is None


MOVES = some.sampled_from([*Action, "start", "fail", "finish", "review", "go on"])
COUNTS = some.builds(
    DocumentCounts, **{name: some.integers(0, 2) for name in DocumentCounts.__dataclass_fields__}
)


def _go_on(state: RunState, process_type: ProcessType) -> RunState:
    step = _goes_on(state, process_type)
    return state if step is None else RunState(step, ExecutionState.QUEUED, state.disabled)


def _moved(state: RunState, move: str, incremental: bool, documents: DocumentCounts) -> RunState:
    """The run after one thing that can happen to it; what cannot happen now leaves it as it is."""
    match move:
        case "start" if may_start(state):
            return step_started(state)
        case "fail" if state.execution is RUNNING:
            return step_failed(state)
        case "finish" if state.execution is RUNNING:
            return step_done(state, incremental=incremental, documents=documents)
        case "review":
            return derived(state, documents)
        case Action():
            outcome = act(state, move)
            return state if isinstance(outcome, RefusalCode) else outcome
        case _:
            return state


@given(
    begun=some.sampled_from([CREATED, CREATED_BY_QUARANTINE]),
    process_type=some.sampled_from(ProcessType),
    incremental=some.booleans(),
    moves=some.lists(some.tuples(MOVES, COUNTS), max_size=30),
)
def test_whatever_happens_a_run_offers_what_it_accepts_and_never_breaks_its_own_rules(
    begun: RunState,
    process_type: ProcessType,
    incremental: bool,
    moves: list[tuple[str, DocumentCounts]],
) -> None:
    state = begun
    for move, documents in moves:
        before = state
        state = (
            _go_on(state, process_type) if move == "go on" else _moved(state, move, incremental, documents)
        )

        assert state.status in Status
        assert not (state.disabled and state.status in ENDED)
        assert before.status is not Status.CANCELLED or state.status is Status.CANCELLED
        offered = {each.action: each.leads_to for each in available_actions(state, {})}
        for action in Action:
            outcome = act(state, action)
            assert (action in offered) is isinstance(outcome, RunState)
            assert refusal_of(state, action) == (None if isinstance(outcome, RunState) else outcome)
            if isinstance(outcome, RunState):
                assert outcome.status is offered[action]
        assert Action.DESCRIBE in offered
        if not state.step_runs and state.status not in ENDED:
            assert Action.CANCEL in offered
