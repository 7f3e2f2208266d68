"""A release is undone: the event is `reverting` while the connector withdraws it (domain.md section 2, Revert)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from release.domain.cap_state import ProjectCap
from release.domain.events import BillingEvent
from release.domain.reasons import Reason, not_found
from release.domain.revert import RevertPlan, plan_revert, refusals_by_caps, reservations_of
from release.domain.stages import REVERTIBLE_STAGES, Stage
from release.facts import reason_bodies
from release.handlers.commands import Command, starter_of
from release.handlers.lock_order import lock_ahead
from release.handlers.publishing import publish_billing_event, publish_refused
from release.store import event_changes, history
from release.store.cap_reservations import reserve
from release.store.caps import lock_caps_of_events
from release.store.events import StoredEvent, load_events, lock_events
from release.store.history import HistoryEntry
from release.store.lineages import load_correcting_ids, load_lineage
from release.store.revert_deletions import note_deletions
from shared.contracts.base import MESSAGE_IDS_MAX
from shared.contracts.commands import RevertBillingEvent
from shared.database.unit_of_work import Cause, UnitOfWork

REVERT: Final = "release.billing-event.revert.v1"
WITHDRAW: Final = "accounting.billing-events.withdraw.v1"


@dataclass(frozen=True, slots=True)
class RevertAsk:
    """A wish to undo a release, with what splits made of the event or without; by whom."""

    billing_event_id: str
    cascade: bool
    starter: Mapping[str, Any] | None
    cause: Cause


async def revert_on_command(work: UnitOfWork, commands: Sequence[Command]) -> None:
    """Do `release.billing-event.revert.v1`, one after the other: reverts are rare."""
    await lock_ahead(work, commands)
    for command in commands:
        body: RevertBillingEvent = command.body
        ask = RevertAsk(body.billing_event_id, body.cascade, starter_of(body), command.cause)
        plan = await start_revert(work, ask)
        if not isinstance(plan, RevertPlan):
            stored = await load_events(work.connection, [body.billing_event_id])
            project_id = stored[body.billing_event_id].event.project_id if stored else None
            publish_refused(work, body.billing_event_id, project_id, plan, command.cause, starter=ask.starter)


async def start_revert(work: UnitOfWork, ask: RevertAsk) -> RevertPlan | tuple[Reason, ...]:
    """Let the connector withdraw an event, all that is asked or nothing; gives what is done, or the reasons against it.

    What corrects an event that is reverted is reverted with it, in the same act (documents.md section 3.4). Locks the
    projects, then all events of the lineage and what corrects them. What is to be deleted is on hold until the
    withdrawal has an answer. A refusal is kept in the history; telling of it is the caller's.
    """
    connection = work.connection
    found = await load_events(connection, [ask.billing_event_id])
    if not found:
        return (not_found(ask.billing_event_id),)
    root_id = found[ask.billing_event_id].event.lineage_root_id
    correcting = await load_correcting_ids(connection, await load_lineage(connection, root_id))
    caps = await lock_caps_of_events(
        connection, [ask.billing_event_id, *correcting], with_removed_budgets=True
    )
    lineage = await load_lineage(connection, root_id)
    stored = await lock_events(connection, [*lineage, *correcting])
    lineage = {each: replace(member, stage=stored[each].stage) for each, member in lineage.items()}
    plan = plan_revert(ask.billing_event_id, lineage, cascade=ask.cascade)
    if isinstance(plan, RevertPlan):
        plan = plan.with_corrections(
            [
                each
                for each, corrected in correcting.items()
                if corrected in plan.reverting and stored[each].stage in REVERTIBLE_STAGES
            ]
        )
        reverting = [stored[billing_event_id].event for billing_event_id in plan.reverting]
        plan = _refused_by_caps(reverting, caps) or plan
    if isinstance(plan, RevertPlan):
        await _begin(work, ask, plan, stored)
    else:
        refusal = HistoryEntry(
            ask.billing_event_id,
            "revert_refused",
            {"reasons": reason_bodies(plan)},
            ask.starter,
            correlation_id=ask.cause.correlation_id,
        )
        await history.append_history(connection, [refusal])
    return plan


def _refused_by_caps(events: Sequence[BillingEvent], caps: Mapping[str, ProjectCap]) -> tuple[Reason, ...]:
    by_project: dict[str, list[BillingEvent]] = {}
    for event in events:
        by_project.setdefault(event.project_id, []).append(event)
    return tuple(
        reason for project_id, own in by_project.items() for reason in refusals_by_caps(own, caps[project_id])
    )


async def _begin(
    work: UnitOfWork, ask: RevertAsk, plan: RevertPlan, stored: Mapping[str, StoredEvent]
) -> None:
    connection = work.connection
    changed = [_reverting(stored[billing_event_id]) for billing_event_id in plan.reverting]
    await event_changes.save_stages(connection, changed)
    # What corrects an event that is given back with it needs no room of its own: it took less than that.
    alone = [each for each in changed if each.event.corrects_billing_event_id not in plan.reverting]
    await reserve(connection, [kept for each in alone for kept in reservations_of(each.event)])
    deleting = [stored[billing_event_id] for billing_event_id in plan.deleting]
    await note_deletions(
        connection, ask.billing_event_id, [(each.billing_event_id, each.event.on_hold) for each in deleting]
    )
    held = [
        replace(each, event=replace(each.event, on_hold=True)) for each in deleting if not each.event.on_hold
    ]
    await event_changes.update_completion(connection, held)
    for each in held:
        publish_billing_event(work, "changed", each, ask.cause, ask.starter)
    for start in range(0, len(plan.reverting), MESSAGE_IDS_MAX):
        ids = list(plan.reverting[start : start + MESSAGE_IDS_MAX])
        work.publish(WITHDRAW, ids[0], {"billing_event_ids": ids, "requested_by": ask.starter}, ask.cause)
    detail = {
        "reverting": list(plan.reverting),
        "deleting": list(plan.deleting),
        "staying": list(plan.staying),
    }
    entries = [
        HistoryEntry(each, "reverting", detail, ask.starter, correlation_id=ask.cause.correlation_id)
        for each in plan.reverting
    ]
    await history.append_history(connection, entries)


def _reverting(stored: StoredEvent) -> StoredEvent:
    return replace(
        stored, event=replace(stored.event, stage=Stage.REVERTING), stage_before_revert=stored.stage
    )
