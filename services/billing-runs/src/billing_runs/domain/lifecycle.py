"""The life of a billing run: its status, the execution of its step, and which action is open when (domain.md
section 5).

`LEADS_TO` is the specified table; everything else here reads it. A run's `status`, `execution` and `disabled`
are kept apart: a status never says whether its step runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from billing_runs.domain.indicators import Indicator
from billing_runs.domain.refusals import RefusalCode
from billing_runs.domain.review import DocumentCounts
from billing_runs.domain.settings import OnSuspect, ProcessType


class Status(StrEnum):
    """Where a run is; the `…ing` ones are steps."""

    NEW = "new"
    OPEN = "open"
    CREATING_INVOICE_LINES = "creating_invoice_lines"
    INVOICE_LINES_CREATED = "invoice_lines_created"
    CREATING_INVOICES = "creating_invoices"
    DRAFT_INVOICES = "draft_invoices"
    REJECTED = "rejected"
    VALIDATING = "validating"
    VALIDATED = "validated"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class ExecutionState(StrEnum):
    """What becomes of the run's current step; `failed` stays until it is taken up again or cancelled."""

    IDLE = "idle"
    QUEUED = "queued"
    RUNNING = "running"
    FAILED = "failed"


class Action(StrEnum):
    """What a user can ask of a run, named as the commands; `describe` saves the description."""

    PROCESS = "process"
    CLOSE = "close"
    CANCEL = "cancel"
    RENDER = "render"
    DISABLE = "disable"
    ENABLE = "enable"
    DESCRIBE = "describe"


@dataclass(frozen=True, slots=True)
class RunState:
    """A run's status, the execution of its step, and whether it is disabled."""

    status: Status
    execution: ExecutionState
    disabled: bool = False

    @property
    def step_runs(self) -> bool:
        """Whether a step is queued or running."""
        return self.execution in {ExecutionState.QUEUED, ExecutionState.RUNNING}


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a run has beside the documents that are in it now.

    `failed` events got no document, `pending` ones not yet (the connector tries them again). `has_moved`: documents of
    it are in the quarantine run. `release_failed`: the release step failed or left events behind.
    """

    failed: int = 0
    pending: int = 0
    has_moved: bool = False
    release_failed: bool = False


NOTHING_ELSE: Final = Remainder()
"""No event of the run is without a document."""


@dataclass(frozen=True, slots=True)
class AvailableAction:
    """An action that would be accepted now, the status it leads to, and what its button shows."""

    action: Action
    leads_to: Status
    indicator: Indicator | None


CREATED: Final = RunState(Status.NEW, ExecutionState.IDLE)
"""A run just created."""

CREATED_BY_QUARANTINE: Final = RunState(Status.REJECTED, ExecutionState.IDLE)
"""A quarantine run just made."""

ENDED: Final = frozenset({Status.VALIDATED, Status.CANCELLED})
"""A run in one of these has ended, and counts as enabled."""

_PROCESS, _CLOSE, _CANCEL, _RENDER = Action.PROCESS, Action.CLOSE, Action.CANCEL, Action.RENDER

LEADS_TO: Final[Mapping[Status, Mapping[Action, Status]]] = {
    Status.NEW: {_PROCESS: Status.CREATING_INVOICE_LINES, _CANCEL: Status.CANCELLING},
    Status.OPEN: {
        _PROCESS: Status.CREATING_INVOICE_LINES,
        _CLOSE: Status.INVOICE_LINES_CREATED,
        _CANCEL: Status.CANCELLING,
    },
    Status.CREATING_INVOICE_LINES: {_PROCESS: Status.CREATING_INVOICE_LINES, _CANCEL: Status.CANCELLING},
    Status.INVOICE_LINES_CREATED: {_PROCESS: Status.CREATING_INVOICES, _CANCEL: Status.CANCELLING},
    Status.CREATING_INVOICES: {_PROCESS: Status.CREATING_INVOICES, _CANCEL: Status.CANCELLING},
    Status.DRAFT_INVOICES: {
        _PROCESS: Status.VALIDATING,
        _CANCEL: Status.CANCELLING,
        _RENDER: Status.DRAFT_INVOICES,
    },
    Status.REJECTED: {_PROCESS: Status.VALIDATING, _CANCEL: Status.CANCELLING, _RENDER: Status.REJECTED},
    Status.VALIDATING: {_PROCESS: Status.VALIDATING, _CANCEL: Status.CANCELLING},
    Status.VALIDATED: {_RENDER: Status.VALIDATED},
    Status.CANCELLING: {_PROCESS: Status.CANCELLING, _CANCEL: Status.CANCELLING},
    Status.CANCELLED: {},
}
"""The specified table, by the status a run is in: what process, close, cancel and render lead to. A step's
status leads to itself: what failed is taken up again. Disable, enable and describe never change the
status.
"""

_STOPPED_BY_DISABLING: Final = frozenset({Action.PROCESS, Action.CLOSE, Action.RENDER})
_STARTS_A_STEP: Final = frozenset({Action.PROCESS, Action.CANCEL, Action.RENDER})
_REVIEWED: Final = frozenset({Status.DRAFT_INVOICES, Status.REJECTED})


def refusal_of(state: RunState, action: Action) -> RefusalCode | None:
    """Why the action is refused now, or None; the codes in their specified order (domain.md section 5)."""
    if state.disabled and action in _STOPPED_BY_DISABLING:
        return RefusalCode.RUN_DISABLED
    if _destination(state, action) is None:
        return RefusalCode.ACTION_NOT_AVAILABLE
    if state.step_runs and action in _STARTS_A_STEP:
        return RefusalCode.STEP_RUNNING
    return None


def act(state: RunState, action: Action) -> RunState | RefusalCode:
    """The run right after the action was accepted (its step queued), or the code that refuses it."""
    refusal = refusal_of(state, action)
    if refusal is not None:
        return refusal
    destination = _destination(state, action)
    assert destination is not None
    match action:
        case Action.DISABLE | Action.ENABLE:
            return replace(state, disabled=action is Action.DISABLE)
        case Action.PROCESS | Action.CANCEL | Action.RENDER:
            return replace(state, status=destination, execution=ExecutionState.QUEUED)
        case Action.CLOSE | Action.DESCRIBE:
            return replace(state, status=destination)


def available_actions(state: RunState, indicators: Mapping[Action, Indicator]) -> tuple[AvailableAction, ...]:
    """Every action that would be accepted now; `indicators` come from the run's executions."""
    available = []
    for action in Action:
        destination = _destination(state, action)
        if destination is not None and refusal_of(state, action) is None:
            available.append(AvailableAction(action, destination, indicators.get(action)))
    return tuple(available)


def _destination(state: RunState, action: Action) -> Status | None:
    """The status that the action leads to, or None where the status and `disabled` do not allow it."""
    match action:
        case Action.DESCRIBE:
            return state.status
        case Action.DISABLE | Action.ENABLE:
            changes = state.disabled is (action is Action.ENABLE)
            return state.status if changes and state.status not in ENDED else None
        case _:
            return LEADS_TO[state.status].get(action)


def may_start(state: RunState) -> bool:
    """Whether the queued step may start: none of a disabled run does, but a cancel is never held back."""
    if state.execution is not ExecutionState.QUEUED:
        return False
    return not state.disabled or state.status is Status.CANCELLING


def step_started(state: RunState) -> RunState:
    """The run when its queued step begins. Raises ValueError if no step is queued."""
    _require_step(state, ExecutionState.QUEUED)
    return replace(state, execution=ExecutionState.RUNNING)


def step_failed(state: RunState) -> RunState:
    """The run when its running step failed: *process* takes it up. Raises ValueError if no step runs."""
    _require_step(state, ExecutionState.RUNNING)
    return replace(state, execution=ExecutionState.FAILED)


def step_done(
    state: RunState, *, incremental: bool, documents: DocumentCounts, remainder: Remainder = NOTHING_ELSE
) -> RunState:
    """The run when its running step was worked to its end (domain.md section 5). Raises ValueError if no step runs.

    `documents` counts the documents that are in the run now, those moved elsewhere left aside. A step that has made
    nothing, though there was something to make, has failed.
    """
    _require_step(state, ExecutionState.RUNNING)
    match state.status:
        case Status.CREATING_INVOICE_LINES:
            after = replace(state, status=Status.OPEN if incremental else Status.INVOICE_LINES_CREATED)
        case Status.CANCELLING if not documents.live and not documents.validated:
            after = replace(state, status=Status.CANCELLED)
        case Status.CREATING_INVOICES if has_made_nothing(documents, remainder) and remainder.failed:
            return replace(state, execution=ExecutionState.FAILED)
        case Status.CREATING_INVOICES if has_made_nothing(documents, remainder) and remainder.release_failed:
            return replace(state, status=Status.NEW, execution=ExecutionState.FAILED)
        case _:
            after = replace(state, status=_status_of_documents(documents, remainder))
    return _settled(replace(after, execution=ExecutionState.IDLE))


def derived(state: RunState, documents: DocumentCounts, remainder: Remainder = NOTHING_ELSE) -> RunState:
    """The run after its documents changed by review: draft_invoices ⇄ rejected → validated, while no step
    runs; or after what was pending has failed, too, and nothing was made at all.

    While a step runs nothing changes: its end derives the status.
    """
    if state.step_runs or state.status not in _REVIEWED:
        return state
    if has_made_nothing(documents, remainder) and remainder.failed:
        return replace(state, status=Status.CREATING_INVOICES, execution=ExecutionState.FAILED)
    return _settled(replace(state, status=_status_of_documents(documents, remainder)))


def documents_moved_in(state: RunState, documents: DocumentCounts) -> RunState:
    """A quarantine run after it was given more documents: one that had ended takes up its review again."""
    if state.status in ENDED and documents.live and not state.step_runs:
        return replace(state, status=_status_of_documents(documents))
    return derived(state, documents)


def goes_on_to(
    state: RunState,
    *,
    process_type: ProcessType,
    on_suspect: OnSuspect,
    drafts: int,
    suspects: int,
    refused_drafts: int,
) -> Status | None:
    """The step that the run starts by itself now, or None: it waits (domain.md section 5).

    `refused_drafts` are the documents whose last validation was refused. While there are any, full_automatic
    waits: validating them again unasked would go round for ever; so would validating nothing while events are pending.
    """
    if state.disabled or state.execution is not ExecutionState.IDLE or process_type is ProcessType.MANUAL:
        return None
    if state.status is Status.INVOICE_LINES_CREATED:
        return Status.CREATING_INVOICES
    if state.status is not Status.DRAFT_INVOICES or process_type is not ProcessType.FULL_AUTOMATIC:
        return None
    waits_for_user = suspects > 0 and on_suspect is OnSuspect.MANUAL_ACTION
    has_nothing = not (drafts or suspects)
    return None if waits_for_user or refused_drafts or has_nothing else Status.VALIDATING


def has_made_nothing(documents: DocumentCounts, remainder: Remainder) -> bool:
    """Whether the run has no document, has had none, and none is to come."""
    in_the_run = documents.live + documents.validated + documents.cancelled
    return not (in_the_run or remainder.has_moved or remainder.pending)


def _status_of_documents(documents: DocumentCounts, remainder: Remainder = NOTHING_ELSE) -> Status:
    if documents.rejected:
        return Status.REJECTED
    return Status.DRAFT_INVOICES if documents.live or remainder.pending else Status.VALIDATED


def _settled(state: RunState) -> RunState:
    """An ended run counts as enabled."""
    return replace(state, disabled=False) if state.status in ENDED else state


def _require_step(state: RunState, execution: ExecutionState) -> None:
    if state.execution is not execution:
        raise ValueError(f"the step of a run in {state.status} is {state.execution}, not {execution}")
