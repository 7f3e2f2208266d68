"""Claims of billing runs: the connector arbitrates who holds an event (domain.md section 5)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from accounting_connector.domain.billing_events import Stage
from accounting_connector.domain.claims import (
    HeldDocument,
    Holding,
    Unclaim,
    decide_claim,
    decide_unclaim,
)
from accounting_connector.domain.reasons import Reason
from accounting_connector.handlers.assessing import ineligible_events
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.pending import give_up
from accounting_connector.store import billing_events, holdings, process_runs
from accounting_connector.store.billing_events import StoredEvent
from accounting_connector.store.reason_bodies import reason_bodies
from shared.contracts.commands import ClaimBillingEvents, UnclaimBillingEvents
from shared.database.unit_of_work import Cause, UnitOfWork

_NOT_YET_RELEASED = frozenset({Stage.INCOMPLETE, Stage.AWAITING_RELEASE, Stage.QUEUED})


def holding_of(event: StoredEvent) -> Holding:
    """Who holds the event, as the domain asks it: of its documents the live one decides."""
    live = event.live_document
    held = () if live is None else (HeldDocument(live.document_id, live.status, live.event_count),)
    return Holding(event.billing_event_id, event.stage, event.claimed_by_run, held)


def waits_for_events(
    asked_ids: Iterable[str], events: Mapping[str, StoredEvent], deployment: Deployment, waited_seconds: float
) -> bool:
    """Whether a command is to wait for events that are not known yet (contract.md section 1)."""
    is_unknown = any(event_id not in events for event_id in asked_ids)
    return is_unknown and waited_seconds < deployment.command_wait_seconds


async def claim(
    work: UnitOfWork,
    deployment: Deployment,
    command: ClaimBillingEvents,
    cause: Cause,
    waited_seconds: float,
) -> bool:
    """Give the run what is free and eligible; False if the command is to wait. Locks the events."""
    events = await billing_events.lock_events(work.connection, command.billing_event_ids)
    if waits_for_events(command.billing_event_ids, events, deployment, waited_seconds):
        return False
    if waited_seconds < deployment.lag_seconds and any(e.stage in _NOT_YET_RELEASED for e in events.values()):
        # The run has read of their release; this line may not have yet.
        return False
    decision = decide_claim(
        command.billing_run_id, command.billing_event_ids, [holding_of(event) for event in events.values()]
    )
    new = [events[each] for each in decision.claimed if events[each].claimed_by_run is None]
    terms = replace(deployment.terms, asked_by_run=command.billing_run_id)
    ineligible, waiting = await ineligible_events(work.connection, new, terms)
    if any(
        deployment.waits_for_parties(
            event.known_seconds, waited_seconds, wait_seconds=deployment.command_wait_seconds
        )
        for event in waiting
    ):
        return False
    claimed = [each for each in decision.claimed if each not in ineligible]
    await holdings.claim(work.connection, command.billing_run_id, claimed)
    body = {
        "billing_run_id": command.billing_run_id,
        "claimed": claimed,
        "refused": _refused_bodies({**dict(decision.refused), **ineligible}),
        "part": command.part,
        "parts": command.parts,
        "starter": starter_of(command),
    }
    work.publish("accounting.billing-events.claimed.v1", command.billing_run_id, body, cause)
    return True


async def unclaim(
    work: UnitOfWork,
    deployment: Deployment,
    command: UnclaimBillingEvents,
    cause: Cause,
    waited_seconds: float,
) -> bool:
    """Let the run's events go: free again, or closed for good; False if the command is to wait.

    What is pending of them in the run's process runs is given up. Locks those, then the events.
    """
    failing = await process_runs.lock_failing_runs_of(work.connection, command.billing_run_id)
    events = await billing_events.lock_events(work.connection, command.billing_event_ids)
    if waits_for_events(command.billing_event_ids, events, deployment, waited_seconds):
        return False
    let_go: list[str] = []
    closed: list[str] = []
    refused: dict[str, tuple[Reason, ...]] = {}
    for event_id in dict.fromkeys(command.billing_event_ids):
        event = events.get(event_id)
        if event is None:
            refused[event_id] = (Reason("not_found", f"Billing event {event_id} is not known"),)
            continue
        close = command.billing_events == "cancel"
        outcome = decide_unclaim(command.billing_run_id, holding_of(event), close=close)
        if outcome is Unclaim.UNCHANGED:
            refused[event_id] = (
                Reason(
                    "not_claimed", f"Billing run {command.billing_run_id} does not hold the billing event"
                ),
            )
            continue
        let_go.append(event_id)
        if outcome is Unclaim.CLOSED:
            closed.append(event_id)
    await end_claims(work, let_go, closed)
    for run in failing:
        await give_up(work, run, let_go, by=f"billing run {command.billing_run_id}")
    publish_unclaimed(
        work,
        command.billing_run_id,
        let_go,
        command.billing_events,
        cause,
        refused=refused,
        part=command.part,
        parts=command.parts,
        starter=starter_of(command),
    )
    return True


async def end_claims(work: UnitOfWork, let_go: list[str], closed: list[str]) -> None:
    """End claims, and close for good the events that are not to be free again. Their rows must be locked."""
    await holdings.end_claims(work.connection, let_go)
    if closed:
        await billing_events.close_events(work.connection, closed)


def publish_unclaimed(
    work: UnitOfWork,
    billing_run_id: str,
    unclaimed: list[str],
    billing_events_end: str,
    cause: Cause,
    *,
    refused: Mapping[str, tuple[Reason, ...]],
    part: int,
    parts: int,
    starter: Mapping[str, Any] | None,
) -> None:
    """Tell what a billing run has let go, and with `cancel` that it is closed for good."""
    body = {
        "billing_run_id": billing_run_id,
        "billing_events": billing_events_end,
        "unclaimed": unclaimed,
        "refused": _refused_bodies(refused),
        "part": part,
        "parts": parts,
        "starter": starter,
    }
    work.publish("accounting.billing-events.unclaimed.v1", billing_run_id, body, cause)


def starter_of(command: Any) -> dict[str, Any] | None:
    """Who asks, as facts name them."""
    asker = command.requested_by
    return None if asker is None else {"user_id": asker.user_id, "email": asker.email}


def _refused_bodies(refused: Mapping[str, tuple[Reason, ...]]) -> list[dict[str, Any]]:
    return [
        {"billing_event_id": event_id, "reasons": reason_bodies(reasons)}
        for event_id, reasons in refused.items()
    ]
