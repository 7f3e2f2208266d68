"""What the accounting connector tells of billing events: invoiced, closed, withdrawn or not (contract.md section 1).

A fact can be about no event that is not known here: the connector knows events only by facts that were committed here
before. Facts of different keys may overtake each other, so each looks at the stage that it finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from release.domain.billed import Billed, Billing, billings_of
from release.domain.cap_state import ProjectCap
from release.domain.events import BillingEvent, BillingEventItem, RecordKey, billed_records
from release.domain.ledger import book_revert
from release.domain.reasons import Reason
from release.domain.stages import UNRELEASED_STAGES, Stage
from release.facts import reason_bodies
from release.handlers.arrival import deleted_event
from release.handlers.publishing import publish_billing_event, publish_deleted, publish_refused
from release.release_facts import billed_body, invoiced_bodies, left_out_bodies
from release.store import auto_pass_fields, billed, caps, event_changes, history, ledger
from release.store.cap_reservations import end_reservations
from release.store.events import StoredEvent, lock_events
from release.store.history import HistoryEntry
from release.store.ledger import LedgerRow
from release.store.revert_deletions import RevertDeletion, take_deletions
from release.views import WrittenBack
from shared.contracts.accounting_facts import (
    BillingEventsUnclaimed,
    BillingEventWithdrawn,
    BillingEventWithdrawRefused,
    CompanySettingsChanged,
)
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.messaging.message import Message

HANDLED: Final = frozenset(
    {
        "accounting.document.validated.v1",
        "accounting.billing-events.unclaimed.v1",
        "accounting.billing-event.withdrawn.v1",
        "accounting.billing-event.withdraw-refused.v1",
        "accounting.company.settings-changed.v1",
    }
)
"""The facts of `accounting.events` that the release service acts on."""


@dataclass(slots=True)
class _Batch:
    """The events of a batch as the facts so far have left them, and what is to be written of them."""

    work: UnitOfWork
    stored: dict[str, StoredEvent]
    caps: dict[str, ProjectCap]
    deletions: dict[str, list[RevertDeletion]]
    billed: Billed
    billings: list[Billing] = field(default_factory=list)
    let_go_items: list[tuple[str, str]] = field(default_factory=list)
    changed_ids: dict[str, None] = field(default_factory=dict)
    rewritten_ids: dict[str, None] = field(default_factory=dict)
    ledger: list[LedgerRow] = field(default_factory=list)
    history: list[HistoryEntry] = field(default_factory=list)

    def change(self, stored: StoredEvent, what: str, cause: Cause, starter: Any, **detail: object) -> None:
        """The event's stage is to be saved as it is now, and why."""
        self.stored[stored.billing_event_id] = stored
        self.changed_ids[stored.billing_event_id] = None
        self.note(stored.billing_event_id, what, cause, starter, **detail)

    def note(self, billing_event_id: str, what: str, cause: Cause, starter: Any, **detail: object) -> None:
        """Add to the history."""
        entry = HistoryEntry(billing_event_id, what, detail, starter, correlation_id=cause.correlation_id)
        self.history.append(entry)


async def take_accounting_facts(work: UnitOfWork, messages: Sequence[Message]) -> None:
    """Take what the connector tells, in the order of the messages, set-based.

    Locks the projects of what was withdrawn, all events that the messages name, then the records that are given back.
    """
    connection = work.connection
    told = [message.body for message in messages if isinstance(message.body, CompanySettingsChanged)]
    if told:
        await auto_pass_fields.upsert_fields(connection, told)
    ids = {billing_event_id for message in messages for billing_event_id in _named(message.body)}
    ended = [
        message.body.billing_event_id
        for message in messages
        if isinstance(message.body, BillingEventWithdrawn | BillingEventWithdrawRefused)
    ]
    deletions: dict[str, list[RevertDeletion]] = {}
    known_caps: dict[str, ProjectCap] = {}
    if ended:
        known_caps = await caps.lock_caps_of_events(connection, ended, with_removed_budgets=True)
        await end_reservations(connection, ended)
        for deletion in await take_deletions(connection, ended):
            deletions.setdefault(deletion.reverting_id, []).append(deletion)
            ids.add(deletion.billing_event_id)
    stored = await lock_events(connection, ids)
    giving_back = [stored[each].event for each in sorted(_giving_back(messages)) if each in stored]
    batch = _Batch(work, stored, known_caps, deletions, await billed.lock_billed(connection, giving_back))
    for message in messages:
        match message.body:
            case WrittenBack() as document:
                _invoice(batch, document, message.cause)
            case BillingEventsUnclaimed() as unclaimed:
                _close(batch, unclaimed, message.cause)
            case BillingEventWithdrawn() as withdrawn:
                _revert(batch, withdrawn, message.cause)
            case BillingEventWithdrawRefused() as refused:
                _go_back(batch, refused, message.cause)
    await _save(batch)


def _giving_back(messages: Sequence[Message]) -> set[str]:
    """The events whose items may come off what is billed: withdrawn, or left out of their document."""
    ids = set()
    for message in messages:
        match message.body:
            case WrittenBack() as document:
                ids |= {each for each in _named(document) if document.left_out_of(each)}
            case BillingEventWithdrawn() as withdrawn:
                ids.add(withdrawn.billing_event_id)
    return ids


def _named(body: object) -> Sequence[str]:
    match body:
        case WrittenBack():
            return () if body.mirrors_document_id is not None else body.billing_event_ids
        case BillingEventsUnclaimed():
            return body.unclaimed if body.billing_events == "cancel" else ()
        case BillingEventWithdrawn() | BillingEventWithdrawRefused():
            return (body.billing_event_id,)
    return ()


def _starter(body: Any) -> dict[str, Any] | None:
    return None if body.starter is None else dict(body.starter.model_dump())


def _invoice(batch: _Batch, document: WrittenBack, cause: Cause) -> None:
    """Write a validated document back to its events: only to released ones, which another one has not invoiced.

    A mirror is never written back. An event that is reverting takes the document as what it goes back to, should the
    withdrawal be refused.
    """
    starter = _starter(document)
    for billing_event_id in _named(document):
        stored = batch.stored.get(billing_event_id)
        if stored is None:
            continue
        written = replace(
            stored,
            document_id=document.document_id,
            invoice_number=document.number,
            invoice_date=document.date,
            left_out=_left_out(stored, document),
        )
        if stored.stage is Stage.RELEASED:
            written = replace(written, event=replace(stored.event, stage=Stage.INVOICED))
        elif stored.stage is Stage.REVERTING and stored.stage_before_revert is Stage.RELEASED:
            written = replace(written, stage_before_revert=Stage.INVOICED)
        else:
            continue
        invoice = {
            "document_id": document.document_id,
            "invoice_number": document.number,
            "invoice_date": document.date.isoformat(),
        }
        batch.change(written, "invoiced", cause, starter, **invoice)
        project_id = stored.event.project_id
        for body in invoiced_bodies(written, invoice, starter):
            batch.work.publish("release.billing-event.invoiced.v1", project_id, body, cause)
        invoiced = billed_records(written.billed_items)
        if marked := billed_body(stored.event, invoiced, billed=True, starter=starter):
            batch.work.publish("release.business-records.billed.v1", project_id, marked | invoice, cause)
        if written.left_out:
            _leave_out(batch, written, cause, starter)


def _left_out(stored: StoredEvent, document: WrittenBack) -> dict[str, str]:
    """What the document leaves out of the event, of the items that it has."""
    told = document.left_out_of(stored.billing_event_id)
    return {item.item_id: told[item.item_id] for item in stored.event.items if item.item_id in told}


def _leave_out(batch: _Batch, written: StoredEvent, cause: Cause, starter: Any) -> None:
    """Tell what the event's document leaves out: released and on the cap, but neither invoiced nor billed."""
    event = written.event
    freed = _give_back_records(batch, event, written.left_out_items)
    if marked := billed_body(event, freed, billed=False, starter=starter):
        batch.work.publish("release.business-records.billed.v1", event.project_id, marked, cause)
    for body in left_out_bodies(written, left_out=True, starter=starter):
        batch.work.publish("release.billing-event.left-out.v1", event.project_id, body, cause)
    batch.note(
        written.billing_event_id,
        "left_out",
        cause,
        starter,
        document_id=written.document_id,
        criteria=dict(written.left_out),
    )


def _close(batch: _Batch, unclaimed: BillingEventsUnclaimed, cause: Cause) -> None:
    """Close events that a billing run has cancelled for good: still released, billed and on the cap."""
    starter = _starter(unclaimed)
    for billing_event_id in _named(unclaimed):
        stored = batch.stored.get(billing_event_id)
        if stored is None:
            continue
        if stored.stage is Stage.RELEASED:
            closed = replace(stored, event=replace(stored.event, stage=Stage.CLOSED))
        elif stored.stage is Stage.REVERTING and stored.stage_before_revert is Stage.RELEASED:
            closed = replace(stored, stage_before_revert=Stage.CLOSED)
        else:
            continue
        run_id = unclaimed.billing_run_id
        batch.change(closed, "closed", cause, starter, billing_run_id=run_id)
        body = {
            "billing_event_id": billing_event_id,
            "project_id": stored.event.project_id,
            "billing_run_id": run_id,
            "starter": starter,
        }
        batch.work.publish("release.billing-event.closed.v1", stored.event.project_id, body, cause)


def _revert(batch: _Batch, withdrawn: BillingEventWithdrawn, cause: Cause) -> None:
    """Undo the release: the caps get back what it took, the records are billable again (domain.md section 2)."""
    stored = batch.stored.get(withdrawn.billing_event_id)
    if stored is None or stored.stage is not Stage.REVERTING:
        return
    event, starter = stored.event, _starter(withdrawn)
    booking = book_revert(event, batch.caps[event.project_id])
    batch.caps[event.project_id] = booking.cap
    outcome = {
        "outcome": withdrawn.outcome,
        "document_id": withdrawn.document_id,
        "mirror_document_id": withdrawn.mirror_document_id,
    }
    decision = {"rule": "reverted", **outcome}
    batch.ledger += [LedgerRow(entry, "revert", decision) for entry in booking.entries]
    if stored.left_out:
        for body in left_out_bodies(stored, left_out=False, starter=starter):
            batch.work.publish("release.billing-event.left-out.v1", event.project_id, body, cause)
    reverted = replace(
        stored, event=replace(event, stage=Stage.REVERTED), stage_before_revert=None, left_out={}
    )
    batch.change(reverted, "reverted", cause, starter, **outcome)
    body = {
        "billing_event_id": event.billing_event_id,
        "project_id": event.project_id,
        "document_id": withdrawn.document_id,
        "mirror_document_id": withdrawn.mirror_document_id,
        "starter": starter,
    }
    batch.work.publish("release.billing-event.reverted.v1", event.project_id, body, cause)
    freed = _give_back_records(batch, event, stored.billed_items)
    if marked := billed_body(event, freed, billed=False, starter=starter):
        batch.work.publish("release.business-records.billed.v1", event.project_id, marked, cause)
    for deletion in batch.deletions.get(event.billing_event_id, ()):
        made = batch.stored[deletion.billing_event_id]
        if made.stage in UNRELEASED_STAGES:
            deleted = deleted_event(made, made.event.version)
            batch.stored[made.billing_event_id] = deleted
            batch.rewritten_ids[made.billing_event_id] = None
            batch.note(made.billing_event_id, "deleted", cause, starter, reverted_id=event.billing_event_id)
            publish_deleted(batch.work, deleted, cause)


def _give_back_records(
    batch: _Batch, event: BillingEvent, items: Sequence[BillingEventItem]
) -> list[RecordKey]:
    """Take these items of the event off what is billed; gives the records of which nothing stays billed by that.

    A generated adjustment counts on the record of the item that it adjusts, here too: whoever is the last to give a
    record back frees it.
    """
    billings = billings_of(event, items)
    batch.billings += billings
    batch.let_go_items += [(item.item_id, event.billing_event_id) for item in items]
    for billing in billings:
        record = batch.billed.record(billing.record)
        batch.billed.records[billing.record] = record.after(replace(billing, amount=-billing.amount))
    return [each.record for each in billings if not batch.billed.record(each.record).stays_billed]


def _go_back(batch: _Batch, refused: BillingEventWithdrawRefused, cause: Cause) -> None:
    """The connector refuses: the event goes back to its former stage, and what was to be deleted goes on."""
    stored = batch.stored.get(refused.billing_event_id)
    if stored is None or stored.stage is not Stage.REVERTING or stored.stage_before_revert is None:
        return
    starter = _starter(refused)
    reasons = [Reason(each.code, each.message, each.detail or {}) for each in refused.reasons]
    former = replace(stored.event, stage=stored.stage_before_revert)
    back = replace(stored, event=former, stage_before_revert=None)
    batch.change(back, "revert_refused", cause, starter, reasons=reason_bodies(reasons))
    publish_refused(batch.work, back.billing_event_id, back.event.project_id, reasons, cause, starter=starter)
    for deletion in batch.deletions.get(back.billing_event_id, ()):
        made = batch.stored[deletion.billing_event_id]
        if made.event.on_hold and not deletion.was_on_hold and made.stage in UNRELEASED_STAGES:
            let_go = replace(made, event=replace(made.event, on_hold=False))
            batch.stored[made.billing_event_id] = let_go
            batch.rewritten_ids[made.billing_event_id] = None
            batch.note(made.billing_event_id, "let_go_on", cause, starter)
            publish_billing_event(batch.work, "changed", let_go, cause, starter)


async def _save(batch: _Batch) -> None:
    connection = batch.work.connection
    await event_changes.save_stages(connection, [batch.stored[each] for each in batch.changed_ids])
    await event_changes.update_completion(connection, [batch.stored[each] for each in batch.rewritten_ids])
    await ledger.append_ledger(connection, batch.ledger)
    await caps.give_back(connection, [row.entry for row in batch.ledger])
    await billed.take_off(connection, batch.billings, batch.let_go_items)
    await history.append_history(connection, batch.history)
