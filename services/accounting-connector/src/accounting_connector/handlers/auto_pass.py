"""Automatically pass to accounting: events are passed as soon as they become eligible (domain.md section 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from accounting_connector.domain.process_runs import (
    LogResult,
    ProcessRunKind,
    add_to_tally,
    is_passed_at_once,
    process_run_status,
)
from accounting_connector.handlers.assessing import Assessed, assess_events, in_order_of_correction
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.passing import Passed, pass_events
from accounting_connector.handlers.pending import now, tell_of_pending
from accounting_connector.handlers.process_runs import publish_run, start_run
from accounting_connector.store import auto_pass_due, billing_events, process_run_events, process_runs
from accounting_connector.store.auto_pass_due import DueEvent
from accounting_connector.store.process_runs import ProcessRun
from shared.database.faults import is_transient
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.ids import derived_id
from shared.set_aside import Picked

SETTLE_SECONDS: Final = 0.25
"""How long after the last event of an act the act is taken as complete: its facts come together, but in batches."""
LOOK_SECONDS: Final = 60.0
LOOK_AGAIN_SECONDS: Final = 1.0
ACT_EVENTS_MAX: Final = 5_000
SLICE_EVENTS_MAX: Final = 200

_NAME: Final = "Automatic pass to accounting"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A fact that may have made an event eligible: the act behind it, whose it was, and the job if it was a release's.

    `is_release`: the event was released by it, so that without a job it is an act of its own.
    """

    act: str
    is_release: bool
    job_id: str | None
    starter: Mapping[str, Any] | None
    cause: Cause


async def take_triggers(work: UnitOfWork, deployment: Deployment, triggers: Mapping[str, Trigger]) -> None:
    """Pass the events that facts of this batch made eligible, or see to it that they are passed.

    By event id; the events' rows must be locked. A single event of a release without a job is passed here, at once;
    those of a job are collected in one process run; those of another act are left to `work_due`.
    """
    events = await billing_events.load_events(work.connection, triggers)
    ordered = [events[event_id] for event_id in triggers if event_id in events]
    at_once: list[Assessed] = []
    due: list[DueEvent] = []
    by_job: dict[str, list[str]] = {}
    for event in await assess_events(work.connection, ordered, deployment.terms):
        event_id = event.stored.billing_event_id
        trigger = triggers[event_id]
        if not _is_wanted(event):
            continue
        if event.waits or (event.is_to_be_passed and not trigger.is_release):
            due.append(DueEvent(event_id, trigger.act, trigger.starter, trigger.cause))
        elif event.is_to_be_passed and trigger.job_id is not None:
            by_job.setdefault(trigger.job_id, []).append(event_id)
        elif event.is_to_be_passed:
            at_once.append(event)
    for job_id, event_ids in by_job.items():
        await _collect(work, job_id, event_ids, triggers[event_ids[0]])
    if due:
        await auto_pass_due.add(work.connection, due, settle_seconds=SETTLE_SECONDS)
    if at_once:
        await _pass_singly(work, deployment, at_once, triggers)


async def work_due(work: UnitOfWork, deployment: Deployment, picked: Picked | None = None) -> bool:
    """Take an act that has settled and pass the events that it made eligible; False if there is none.

    A single small event is passed at once, several become one process run. Locks the events.
    """
    picked = picked or Picked([])
    settled = await auto_pass_due.settled_act(work.connection, only=picked.only)
    if settled is None:
        return False
    act, ids = settled
    picked.ids += ids[:ACT_EVENTS_MAX]
    eligible: list[tuple[DueEvent, Assessed]] = []
    for start in range(0, min(len(ids), ACT_EVENTS_MAX), SLICE_EVENTS_MAX):
        events = await billing_events.lock_events(work.connection, ids[start : start + SLICE_EVENTS_MAX])
        due = {
            event.billing_event_id: event
            for event in await auto_pass_due.take(work.connection, act, list(events))
        }
        owned = [events[event_id] for event_id in due]
        assessed = [
            event
            for event in await assess_events(work.connection, owned, deployment.terms)
            if _is_wanted(event)
        ]
        waiting = [due[event.stored.billing_event_id] for event in assessed if event.waits]
        await auto_pass_due.put_back(
            work.connection, waiting, look_seconds=LOOK_SECONDS, look_again_seconds=LOOK_AGAIN_SECONDS
        )
        eligible += [
            (due[event.stored.billing_event_id], event) for event in assessed if event.is_to_be_passed
        ]
    if eligible:
        await _pass_act(work, deployment, act, eligible)
    return True


def _is_wanted(event: Assessed) -> bool:
    """Whether the event is to be passed by itself, is not done yet, and not left to release and invoice."""
    return event.wants_auto_pass and event.stored.live_document is None and not event.stored.left_to_job


def _run(
    process_run_id: str, starter: Mapping[str, Any] | None, cause: Cause, ids: Sequence[str]
) -> ProcessRun:
    return ProcessRun(
        process_run_id=process_run_id,
        kind=ProcessRunKind.AUTO_PASS,
        name=_NAME,
        selection={"billing_event_ids": list(ids)},
        starter=starter,
        cause=cause,
        unknown_wait_seconds=0.0,
    )


async def _collect(work: UnitOfWork, job_id: str, event_ids: Sequence[str], trigger: Trigger) -> None:
    """Add events that a job has released to the job's own process run, which ends when the job is counted out.

    Where it has ended already, a fault of ours has kept these: it goes on.
    """
    run = replace(
        _run(derived_id("process-run", job_id), trigger.starter, trigger.cause, ()),
        job_id=job_id,
        collects_job=True,
    )
    is_new = await start_run(work, run)
    await process_run_events.freeze_ids(work.connection, run.process_run_id, event_ids, run.grouping)
    if not is_new:
        await process_runs.extend_run(work.connection, run.process_run_id)


async def _pass_act(
    work: UnitOfWork, deployment: Deployment, act: str, eligible: Sequence[tuple[DueEvent, Assessed]]
) -> None:
    due, first = eligible[0]
    if is_passed_at_once([event.stored.item_count for _, event in eligible], deployment.sync_item_limit):
        trigger = Trigger(act, False, None, due.starter or first.stored.starter, due.cause)
        await _pass_singly(work, deployment, [first], {due.billing_event_id: trigger})
        return
    ids = [event.billing_event_id for event, _ in eligible]
    starter = due.starter or first.stored.starter
    # An act that goes on after it had settled becomes another run.
    for process_run_id in (derived_id("process-run", act), derived_id("process-run", act, ids[0])):
        if await start_run(work, _run(process_run_id, starter, due.cause, ids)):
            break


async def _pass_singly(
    work: UnitOfWork, deployment: Deployment, events: Sequence[Assessed], triggers: Mapping[str, Trigger]
) -> None:
    """Pass events here and now, each a process run of its own; large ones, or all if that fails, in the background."""
    runs = {}
    for event in events:
        event_id = event.stored.billing_event_id
        trigger = triggers[event_id]
        process_run_id = derived_id("process-run", trigger.act, event_id)
        runs[event_id] = _run(process_run_id, trigger.starter, trigger.cause, [event_id])
    small = [
        event for event in events if is_passed_at_once([event.stored.item_count], deployment.sync_item_limit)
    ]
    passed_here: set[str] = set()
    try:
        async with work.part():
            await _pass_now(work, deployment, small, runs)
        passed_here = {event.stored.billing_event_id for event in small}
    except Exception as error:
        if is_transient(error):
            raise
        log.exception("events could not be passed at once, trying in the background")
    for event_id, run in runs.items():
        if event_id not in passed_here:
            await start_run(work, run)


async def _pass_now(
    work: UnitOfWork, deployment: Deployment, events: Sequence[Assessed], runs: Mapping[str, ProcessRun]
) -> None:
    found = {event.stored.billing_event_id: event for event in events}
    results: dict[str, Passed] = {}
    ended: list[ProcessRun] = []
    for place, each in enumerate(in_order_of_correction(event.stored for event in events)):
        if place:  # what they correct has got its document only now
            found |= {
                event.stored.billing_event_id: event
                for event in await assess_events(work.connection, each, deployment.terms)
            }
        orders = [(runs[event.billing_event_id], [found[event.billing_event_id]]) for event in each]
        for run, _ in orders:
            publish_run(work, "started", replace(run, at_once=True))
        results |= await pass_events(work, deployment, orders)
        for run, (event,) in orders:
            passed = results[run.process_run_id]
            tally = add_to_tally(run.tally, passed.documents, passed.entries)
            failing = sum(entry.result is LogResult.PENDING for entry in passed.entries)
            tally = replace(tally, pending=failing)
            ended.append(
                replace(
                    run,
                    tally=tally,
                    status=process_run_status(tally, pending=0),
                    at_once=True,
                    failing_since=now() if failing else None,
                    additional_recipients=event.additional_recipients,
                )
            )
    await process_runs.insert_runs(work.connection, ended)
    await process_run_events.log_at_once(
        work.connection,
        [(run.process_run_id, entry) for run in ended for entry in results[run.process_run_id].entries],
    )
    for run in ended:
        tell_of_pending(work, runs[run.selection["billing_event_ids"][0]], run)
        publish_run(work, "completed", run)
