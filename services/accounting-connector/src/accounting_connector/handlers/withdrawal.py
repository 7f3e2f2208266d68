"""Withdrawing events from the books, for a revert (domain.md section 4, "Withdraw")."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from accounting_connector.domain.claims import (
    WithdrawDecision,
    WithdrawOutcome,
    decide_withdraw,
    mirror_document,
)
from accounting_connector.domain.documents import Document, cancel_document
from accounting_connector.domain.reasons import Reason
from accounting_connector.handlers.claims import holding_of, starter_of, waits_for_events
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.numbering import validate_drafts
from accounting_connector.handlers.publishing import publish_document
from accounting_connector.store import billing_events, documents, holdings
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
            withdrawals = await _carry_out(work, deployment, new, cause, starter)
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
    cause: Cause,
    starter: Mapping[str, Any] | None,
) -> dict[str, dict[str, Any]]:
    """Cancel drafts and mirror validated documents; what is to be told and kept of each event."""
    concerned = [decision.document_id for decision in decisions.values() if decision.document_id is not None]
    stored = await documents.lock_documents(work.connection, concerned) if concerned else {}
    cancelled = [stored[d] for d in _of(decisions, WithdrawOutcome.CANCELLED)]
    originals = [stored[d] for d in _of(decisions, WithdrawOutcome.MIRRORED)]
    if concerned:
        await holdings.end_live(work.connection, concerned)
    if cancelled:
        await documents.cancel_documents(work.connection, [each.document.document_id for each in cancelled])
        for each in cancelled:
            document = cancel_document(each.document)
            publish_document(work, replace(each, document=document, starter=starter or each.starter), cause)
    mirrors = await _mirror(work, deployment, [each.document for each in originals], starter, cause)
    return {
        event_id: {
            "outcome": decision.outcome.value if decision.outcome is not None else None,
            "document_id": decision.document_id,
            "mirror_document_id": mirrors.get(decision.document_id or ""),
        }
        for event_id, decision in decisions.items()
    }


def _of(decisions: Mapping[str, WithdrawDecision], outcome: WithdrawOutcome) -> list[str]:
    return [
        decision.document_id
        for decision in decisions.values()
        if decision.outcome is outcome and decision.document_id is not None
    ]


async def _mirror(
    work: UnitOfWork,
    deployment: Deployment,
    originals: Sequence[Document],
    starter: Mapping[str, Any] | None,
    cause: Cause,
) -> dict[str, str]:
    """Take validated documents back by opposite ones, validated today; the mirrors' ids by those of the originals.

    Raises _RefusedError where today is no date for one of them (documents.md section 4).
    """
    if not originals:
        return {}
    today = deployment.today()
    drafts = [(mirror_document(original, new_id()), today) for original in originals]
    numbered = await validate_drafts(work.connection, drafts, today=today)
    if numbered.refused:
        by_mirror = {draft.document_id: draft.mirrors_document_id or "" for draft, _ in drafts}
        raise _RefusedError({by_mirror[each]: reasons for each, reasons in numbered.refused.items()})
    mirrors = numbered.validated
    stored = [StoredDocument(mirror, None, starter) for mirror in mirrors]
    await documents.insert_documents(work.connection, stored)
    for each in stored:
        publish_document(work, each, cause)
    return {
        original.document_id: mirror.document_id for original, mirror in zip(originals, mirrors, strict=True)
    }


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
