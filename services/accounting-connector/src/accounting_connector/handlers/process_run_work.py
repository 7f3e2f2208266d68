"""Process runs worked through in chunks, ended, given up (domain.md section 4)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog

from accounting_connector.domain.billing_events import Stage
from accounting_connector.domain.grouping import Grouping
from accounting_connector.domain.process_runs import (
    LogEntry,
    LogResult,
    ProcessRunKind,
    add_to_tally,
    is_passed_at_once,
    not_passed_entry,
    pending_entry,
    process_run_status,
)
from accounting_connector.domain.reasons import Reason
from accounting_connector.handlers.assessing import (
    INTERNAL_ERROR,
    Assessed,
    assess_events,
    in_order_of_correction,
    is_left_out,
)
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.passing import Passed, pass_events, publish_not_passed, terms_of
from accounting_connector.handlers.pending import (
    counted,
    note_failed,
    save_tried,
    tell_of_pending,
)
from accounting_connector.handlers.process_runs import add_what_has_settled, publish_run
from accounting_connector.store import billing_events, process_run_events, process_runs
from accounting_connector.store.billing_events import StoredEvent
from accounting_connector.store.process_run_events import DueEvent
from accounting_connector.store.process_runs import ProcessRun
from shared.contracts.accounting_facts import RECIPIENTS_MAX
from shared.database.faults import is_transient
from shared.database.unit_of_work import UnitOfWork

CHUNK_EVENTS_MAX: Final = 200
CHUNK_EVENTS_MAX_BY_ACCOUNT: Final = 2_000
"""More, so that the events of a large account can fill whole documents."""
CHUNK_ITEMS_MAX: Final = 20_000
LOOK_AGAIN_SECONDS: Final = 0.2

_NOT_YET_RELEASED: Final = frozenset({Stage.INCOMPLETE, Stage.AWAITING_RELEASE, Stage.QUEUED})

log = structlog.get_logger(__name__)


class BrokenRunError(Exception):
    """A process run that cannot be worked, not even event by event."""

    def __init__(self, process_run_id: str) -> None:
        super().__init__(f"process run {process_run_id} cannot be worked")
        self.process_run_id = process_run_id


async def work_run(work: UnitOfWork, deployment: Deployment, *, one_by_one: bool = False) -> bool:
    """Work one chunk of the open run that was worked on longest ago; False if none has anything to do.

    `one_by_one`: each event in a savepoint of its own, so that one which breaks the chunk is pending by itself; events
    then share no documents. Raises BrokenRunError if that does not help either. Locks the run, then its events.
    """
    taken = await process_runs.take_run(work.connection, settle_seconds=deployment.settle_seconds)
    if taken is None:
        return False
    run, is_new = taken
    if is_new and deployment.settle_seconds and run.kind is ProcessRunKind.ON_DEMAND:
        await add_what_has_settled(work, run)
    try:
        await _work_next(work, deployment, run, one_by_one=one_by_one)
    except Exception as error:
        if one_by_one and not is_transient(error):
            raise BrokenRunError(run.process_run_id) from error
        raise
    return True


async def try_again(work: UnitOfWork, deployment: Deployment, *, one_by_one: bool = False) -> bool:
    """Try a chunk of a run's events again that have failed by our own fault; False if none is due.

    Under the same run and log entries. `one_by_one`, the errors and the locks are those of `work_run`.
    """
    run = await process_runs.take_failing_run(work.connection)
    if run is None:
        return False
    try:
        chunk, more_follow = await _next_chunk(work, run, failing=True)
        after, _ = await _work_parts(work, deployment, run, chunk, more_follow, one_by_one=one_by_one)
        await save_tried(work, run, await counted(work, after))
    except Exception as error:
        if one_by_one and not is_transient(error):
            raise BrokenRunError(run.process_run_id) from error
        raise
    return True


async def _work_next(work: UnitOfWork, deployment: Deployment, run: ProcessRun, *, one_by_one: bool) -> None:
    chunk, more_follow = await _next_chunk(work, run)
    before = run
    run, entries = await _work_parts(work, deployment, run, chunk, more_follow, one_by_one=one_by_one)
    run = await counted(work, run)
    tell_of_pending(work, before, run)
    pending = await process_run_events.has_pending(work.connection, run.process_run_id)
    # A run that collects a job's events is handed out with nothing to do only when no event of the job is missing.
    if not pending and not (run.collects_job and chunk):
        run = await _ended(work, deployment, run)
        publish_run(work, "completed", run)
    elif entries:
        publish_run(work, "progressed", run)
    await process_runs.save_run(work.connection, run)


async def _work_parts(
    work: UnitOfWork,
    deployment: Deployment,
    run: ProcessRun,
    chunk: Sequence[DueEvent],
    more_follow: bool,
    *,
    one_by_one: bool,
) -> tuple[ProcessRun, list[LogEntry]]:
    entries: list[LogEntry] = []
    for part in [[event] for event in chunk] if one_by_one else [chunk] if chunk else []:
        run, decided = await _work_guarded(work, deployment, run, part, more_follow, guarded=one_by_one)
        entries += decided
    return run, entries


async def _next_chunk(
    work: UnitOfWork, run: ProcessRun, *, failing: bool = False
) -> tuple[list[DueEvent], bool]:
    """The next events to work, and whether events follow that could share a document with them."""
    by_account = run.grouping is Grouping.ACCOUNT
    limit = CHUNK_EVENTS_MAX_BY_ACCOUNT if by_account else CHUNK_EVENTS_MAX
    due = await process_run_events.due_events(work.connection, run.process_run_id, limit + 1, failing=failing)
    items, chunk = 0, list[DueEvent]()
    for event in due[:limit]:
        items += event.item_count
        if chunk and items > CHUNK_ITEMS_MAX:
            break
        chunk.append(event)
    if not by_account or len(chunk) == len(due):
        return chunk, False
    # An account that goes on behind the chunk waits for the next one, unless it fills this one alone.
    next_key = due[len(chunk)].account_key
    whole = [event for event in chunk if event.account_key != next_key]
    return (whole, False) if whole else (chunk, True)


async def _work_guarded(
    work: UnitOfWork,
    deployment: Deployment,
    run: ProcessRun,
    chunk: Sequence[DueEvent],
    more_follow: bool,
    *,
    guarded: bool,
) -> tuple[ProcessRun, list[LogEntry]]:
    if not guarded:
        return await _work_chunk(work, deployment, run, chunk, more_follow=more_follow)
    try:
        async with work.part():
            return await _work_chunk(work, deployment, run, chunk, more_follow=more_follow)
    except Exception as error:
        if is_transient(error):
            raise
        log.exception("billing event could not be passed", process_run_id=run.process_run_id)
    entries = [pending_entry(event.billing_event_id, (INTERNAL_ERROR,)) for event in chunk]
    await note_failed(work, run, entries, _failures(chunk))
    return run, entries


async def _work_chunk(
    work: UnitOfWork, deployment: Deployment, run: ProcessRun, chunk: Sequence[DueEvent], *, more_follow: bool
) -> tuple[ProcessRun, list[LogEntry]]:
    """Decide these events, or put them off while they may still become known; the run after it, and the entries."""
    connection = work.connection
    stored = await billing_events.lock_events(connection, [event.billing_event_id for event in chunk])
    done = Passed()
    put_off: list[str] = []
    ready: list[StoredEvent] = []
    waited_seconds = {event.billing_event_id: event.waited_seconds for event in chunk}
    for event in chunk:
        known = stored.get(event.billing_event_id)
        if known is not None and (
            known.stage not in _NOT_YET_RELEASED or event.waited_seconds >= deployment.lag_seconds
        ):
            ready.append(known)
        elif known is not None or event.waited_seconds < run.unknown_wait_seconds:
            put_off.append(event.billing_event_id)
        else:
            done.entries.append(_unknown(event.billing_event_id))
    publish_not_passed(work, run, done.entries)
    for events in in_order_of_correction(ready):
        assessed = await assess_events(connection, events, terms_of(run, deployment))
        decidable: list[Assessed] = []
        for one in assessed:
            if one.waits and deployment.waits_for_parties(
                one.stored.known_seconds,
                waited_seconds[one.stored.billing_event_id],
                wait_seconds=run.unknown_wait_seconds,
            ):
                put_off.append(one.stored.billing_event_id)
            else:
                decidable.append(one)
        if run.selection.get("eligible") and run.billing_run_id is None:
            decidable = await _leave_out_ineligible(work, run, decidable)
        passed = (await pass_events(work, deployment, [(run, decidable)], more_follow=more_follow))[
            run.process_run_id
        ]
        done.documents += passed.documents
        done.entries += passed.entries
        run = replace(run, additional_recipients=_recipients(run, decidable))
    decided = [entry for entry in done.entries if entry.result is not LogResult.PENDING]
    await process_run_events.decide(connection, run.process_run_id, decided)
    await note_failed(work, run, done.entries, _failures(chunk))
    if put_off:
        await process_run_events.defer(connection, run.process_run_id, put_off, LOOK_AGAIN_SECONDS)
    if run.kind is ProcessRunKind.RELEASE_AND_INVOICE:
        await billing_events.leave_to_nobody(connection, list(stored))
    return replace(run, tally=add_to_tally(run.tally, done.documents, done.entries)), done.entries


async def _leave_out_ineligible(
    work: UnitOfWork, run: ProcessRun, events: Sequence[Assessed]
) -> list[Assessed]:
    """A run over all that is eligible leaves out what turned out not to be, silently (domain.md section 4)."""
    ineligible = {event.stored.billing_event_id for event in events if is_left_out(event)}
    if ineligible:
        await process_run_events.leave_out(work.connection, run.process_run_id, sorted(ineligible))
    return [event for event in events if event.stored.billing_event_id not in ineligible]


async def _ended(work: UnitOfWork, deployment: Deployment, run: ProcessRun) -> ProcessRun:
    at_once = run.at_once
    if run.collects_job:
        # Whether the events of the act were a single one is known only now.
        items = await process_run_events.item_counts(work.connection, run.process_run_id, 2)
        at_once = is_passed_at_once(items, deployment.sync_item_limit)
    return replace(run, status=process_run_status(run.tally, pending=0), at_once=at_once)


def _failures(chunk: Sequence[DueEvent]) -> dict[str, int]:
    return {event.billing_event_id: event.failures for event in chunk}


def _recipients(run: ProcessRun, events: Sequence[Assessed]) -> tuple[str, ...]:
    found = (address for event in events for address in event.additional_recipients)
    return tuple(dict.fromkeys((*run.additional_recipients, *found)))[:RECIPIENTS_MAX]


def _unknown(billing_event_id: str) -> LogEntry:
    reason = Reason("not_found", f"Billing event {billing_event_id} is not known")
    return not_passed_entry(billing_event_id, (reason,))
