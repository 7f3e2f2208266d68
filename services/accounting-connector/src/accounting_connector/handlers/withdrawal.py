"""Withdrawing events from the books, for a revert (domain.md section 4, "Withdraw")."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from accounting_connector.domain.claims import (
    WithdrawDecision,
    WithdrawOutcome,
    decide_withdraw,
)
from accounting_connector.domain.documents import Document, cancel_document
from accounting_connector.domain.mirrors import mirror_document
from accounting_connector.domain.reasons import Reason
from accounting_connector.handlers.claims import holding_of, starter_of, waits_for_events
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.numbering import validate_drafts
from accounting_connector.handlers.publishing import publish_document
from accounting_connector.store import billing_events, corrections, documents, holdings
from accounting_connector.store.billing_events import StoredEvent
from accounting_connector.store.documents import StoredDocument
from accounting_connector.store.reason_bodies import reason_bodies
from shared.contracts.commands import WithdrawBillingEvents
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.ids import new_id


async def withdraw(
    work: UnitOfWork,
    deployment: Deployment,
    command: WithdrawBillingEvents,
    cause: Cause,
    waited_seconds: float,
) -> bool:
    """Withdraw these events, all or none of them; False if the command is to wait.

    One command is one revert, which is all or nothing with what it cascades to: where one event is refused, the others
    are refused with `batch_failed`. An event that was withdrawn before tells the same again. Locks the events, then
    their documents, then series.
    """
    ids = list(dict.fromkeys(command.billing_event_ids))
    events = await billing_events.lock_events(work.connection, ids)
    if waits_for_events(ids, events, deployment, waited_seconds):
        return False
    starter = starter_of(command)
    decisions = {event_id: _decide(event_id, events.get(event_id)) for event_id in ids}
    refused = [event_id for event_id, decision in decisions.items() if decision and decision.outcome is None]
    if refused:
        for event_id, decision in decisions.items():
            reasons = decision.reasons if decision is not None else ()
            _publish_refused(work, event_id, reasons or _because_of(refused), cause, starter)
        return True
    new = {event_id: decision for event_id, decision in decisions.items() if decision is not None}
    try:
        async with work.part():
            withdrawals = await _carry_out(work, deployment, new, _Ask(events, starter, cause))
    except _RefusedError as refusal:
        for event_id, decision in new.items():
            reasons = refusal.reasons.get(
                decision.document_id or "", _because_of(_held(new, refusal.reasons))
            )
            _publish_refused(work, event_id, reasons, cause, starter)
        return True
    await billing_events.bar_events(work.connection, withdrawals)
    for event_id in ids:
        told = withdrawals.get(event_id) or events[event_id].withdrawal or {}
        body = {"billing_event_id": event_id, **told, "starter": starter}
        work.publish("accounting.billing-event.withdrawn.v1", event_id, body, cause)
    return True


@dataclass(frozen=True, slots=True)
class _Ask:
    """Who asks for a revert, and for which events, as they are stored."""

    events: Mapping[str, StoredEvent]
    starter: Mapping[str, Any] | None
    cause: Cause


class _RefusedError(Exception):
    """Mirrors that cannot be dated today, with the reasons by the ids of the originals."""

    def __init__(self, reasons: Mapping[str, tuple[Reason, ...]]) -> None:
        super().__init__("a mirror is refused for its date")
        self.reasons = reasons


def _held(decisions: Mapping[str, WithdrawDecision], document_ids: Collection[str]) -> list[str]:
    return [event_id for event_id, decision in decisions.items() if decision.document_id in document_ids]


def _decide(event_id: str, event: StoredEvent | None) -> WithdrawDecision | None:
    """The decision; None for an event that was withdrawn before."""
    if event is None:
        return WithdrawDecision(
            None, reasons=(Reason("not_found", f"Billing event {event_id} is not known"),)
        )
    return None if event.withdrawal is not None else decide_withdraw(holding_of(event))


async def _carry_out(
    work: UnitOfWork,
    deployment: Deployment,
    decisions: Mapping[str, WithdrawDecision],
    ask: _Ask,
) -> dict[str, dict[str, Any]]:
    """Cancel drafts and mirror what is left of validated documents; what is to be told and kept of each event.

    Corrections of what is withdrawn with them stay: the mirror takes the rest.
    """
    decisions = {
        event_id: replace(decision, outcome=_outcome(decision, ask.events[event_id], ask.events))
        for event_id, decision in decisions.items()
    }
    concerned = {decision.document_id for decision in decisions.values() if decision.document_id is not None}
    stored = await documents.lock_documents(work.connection, concerned) if concerned else {}
    await _cancel(work, [stored[each] for each in _of(decisions, WithdrawOutcome.CANCELLED)], ask)
    originals = [stored[each].document for each in _of(decisions, WithdrawOutcome.MIRRORED)]
    mirrors = await _mirror(work, deployment, originals, decisions, ask)
    told = {}
    for event_id, decision in decisions.items():
        mirror = mirrors.get(decision.document_id or "")
        is_mirrored = mirror is not None and event_id in mirror.billing_event_ids
        outcome = decision.outcome
        if outcome is WithdrawOutcome.MIRRORED and not is_mirrored:
            outcome = WithdrawOutcome.ALREADY_CORRECTED
        told[event_id] = {
            "outcome": outcome.value if outcome is not None else None,
            "document_id": decision.document_id,
            "mirror_document_id": mirror.document_id if mirror is not None and is_mirrored else None,
        }
    return told


def _outcome(
    decision: WithdrawDecision, event: StoredEvent, events: Mapping[str, StoredEvent]
) -> WithdrawOutcome | None:
    corrects = event.body.get("corrects_billing_event_id")
    if decision.outcome is WithdrawOutcome.MIRRORED and corrects in events:
        return WithdrawOutcome.KEPT
    return decision.outcome


def _of(decisions: Mapping[str, WithdrawDecision], outcome: WithdrawOutcome) -> list[str]:
    """The documents with this outcome, each once."""
    found = (
        decision.document_id
        for decision in decisions.values()
        if decision.outcome is outcome and decision.document_id is not None
    )
    return list(dict.fromkeys(found))


async def _cancel(work: UnitOfWork, drafts: Sequence[StoredDocument], ask: _Ask) -> None:
    if not drafts:
        return
    ids = [each.document.document_id for each in drafts]
    await holdings.end_live(work.connection, ids)
    await documents.cancel_documents(work.connection, ids)
    for each in drafts:
        document = cancel_document(each.document)
        publish_document(
            work, replace(each, document=document, starter=ask.starter or each.starter), ask.cause
        )


async def _mirror(
    work: UnitOfWork,
    deployment: Deployment,
    originals: Sequence[Document],
    decisions: Mapping[str, WithdrawDecision],
    ask: _Ask,
) -> dict[str, Document]:
    """Take these events of locked documents back by opposite ones, validated today; by the originals' ids.

    Where corrections have taken all of them there is none. Raises _RefusedError where today is no date for a mirror
    (documents.md section 4).
    """
    if not originals:
        return {}
    ids = [original.document_id for original in originals]
    left = await corrections.load_originals(work.connection, ids)
    credited = await corrections.load_credited_lines(work.connection, ids)
    today = deployment.today()
    drafts = []
    for document_id, original in zip(ids, originals, strict=True):
        mirror = mirror_document(
            original,
            left[document_id],
            new_id(),
            billing_event_ids={
                each for each, decision in decisions.items() if decision.document_id == document_id
            },
            credited=credited.get(document_id, ()),
        )
        if mirror is not None:
            drafts.append((mirror, today))
    if not drafts:
        return {}
    numbered = await validate_drafts(work.connection, drafts, today=today)
    if numbered.refused:
        by_mirror = {draft.document_id: draft.mirrors_document_id or "" for draft, _ in drafts}
        raise _RefusedError({by_mirror[each]: reasons for each, reasons in numbered.refused.items()})
    stored = [StoredDocument(mirror, None, ask.starter) for mirror in numbered.validated]
    await documents.insert_documents(work.connection, stored)
    taken_back = [each for mirror in numbered.validated for each in mirror.billing_event_ids]
    await holdings.end_live_of(work.connection, taken_back)
    for each in stored:
        publish_document(work, each, ask.cause)
    return {mirror.mirrors_document_id or "": mirror for mirror in numbered.validated}


def _publish_refused(
    work: UnitOfWork,
    event_id: str,
    reasons: Sequence[Reason],
    cause: Cause,
    starter: Mapping[str, Any] | None,
) -> None:
    body = {"billing_event_id": event_id, "reasons": reason_bodies(reasons), "starter": starter}
    work.publish("accounting.billing-event.withdraw-refused.v1", event_id, body, cause)


def _because_of(refused: Sequence[str]) -> tuple[Reason, ...]:
    message = f"Not withdrawn because of {', '.join(refused[:5])}"
    return (Reason("batch_failed", message, {"billing_event_ids": list(refused)}),)
