"""Billing events arrive from PSA, are replaced, and deleted (domain.md section 1)."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from pydantic import ValidationError

from release.domain.completion import complete_event, fill_from_sources, missing_fields
from release.domain.events import BillingEvent, BillingEventItem, in_order_of_creation
from release.domain.psa_changes import (
    Accepted,
    ChangeRefused,
    Deleted,
    DeletedBefore,
    IdTaken,
    Ignored,
    StoredState,
    take_deleted,
    take_generated,
)
from release.domain.reasons import Reason
from release.domain.sources import CompanySource, Source
from release.domain.stages import UNRELEASED_STAGES, Stage
from release.fact_sizes import may_become_too_large
from release.facts import reason_bodies
from release.handlers.publishing import (
    publish_billing_event,
    publish_deleted,
    publish_mismatch,
    publish_refused,
)
from release.store import auto_pass_fields, completions, deletions, event_changes, events, history, lineages
from release.store.events import StoredEvent
from release.store.history import HistoryEntry
from release.store.known_sources import Sources, load_sources
from shared.contracts.psa import BillingEventDeleted, BillingEventGenerated, GeneratedItem
from shared.database.unit_of_work import Cause, MessageTooLargeError, UnitOfWork
from shared.messaging.message import Message

_TOO_LARGE: Final = (
    "too_large: the completed billing event could be more than one message may tell: divide it"
)


async def take_billing_events(
    work: UnitOfWork, messages: Sequence[Message], company_source: CompanySource
) -> list[StoredEvent]:
    """Take what PSA says of billing events, in the order of the messages; gives the events stored for the first time.

    Locks the events that are known already. Messages of other types are left alone.
    """
    generated = {
        id(message): _sent_event(message.body)
        for message in messages
        if type(message.body) is BillingEventGenerated
    }
    relevant = [m for m in messages if type(m.body) in {BillingEventGenerated, BillingEventDeleted}]
    if not relevant:
        return []
    batch = await _load(work, relevant, list(generated.values()), company_source)
    for message in relevant:
        if sent := generated.get(id(message)):
            if _currency_had_ended(work, batch, message):
                continue
            _take_generated(work, batch, sent, message)
        else:
            _take_deleted(work, batch, message)
    return await _save(work, batch)


def complete_stored(stored: StoredEvent, sources: Sources, company_source: CompanySource) -> StoredEvent:
    """Complete an unreleased event, for the first time or again; one that now waits is no longer queued."""
    completion = complete_event(stored.event, sources.known_for(stored.event), company_source)
    event = completion.event
    if event.stage is not Stage.QUEUED and event.queued_by is not None:
        event = replace(event, queued_by=None)
    head = sources.head_of(event.project_id)
    return replace(
        stored,
        event=event,
        missing=completion.missing,
        waits_for=completion.waits_for,
        engagement=head.engagement,
        conflict=head.conflict,
    )


def complete_change(stored: StoredEvent, sources: Sources, company_source: CompanySource) -> StoredEvent:
    """Complete an event that was changed: an unreleased one again; of a released one only what is empty is filled."""
    if stored.stage in UNRELEASED_STAGES:
        return complete_stored(stored, sources, company_source)
    event = stored.event
    if event.stage is Stage.RELEASED:
        event = fill_from_sources(event, sources.known_for(event), company_source)
    return replace(stored, event=event, missing=missing_fields(event))


def deleted_event(stored: StoredEvent, version: int) -> StoredEvent:
    """The event as PSA's delete leaves it: kept, so that its id is refused when it is sent anew."""
    event = replace(stored.event, stage=Stage.DELETED, version=version, queued_by=None)
    return replace(stored, event=event, missing=(), waits_for=())


@dataclass(slots=True)
class _Batch:
    """The events of a batch as the messages so far have left them, and what is to be written of them."""

    company_source: CompanySource
    sources: Sources
    stored: dict[str, StoredEvent]
    deleted_before: dict[str, int]
    moved_items: Mapping[str, Mapping[str, BillingEventItem]]
    corrected_on: Mapping[str, datetime.date]
    auto_pass_fields: Mapping[str | None, str]
    new_ids: dict[str, None] = field(default_factory=dict)
    changed_ids: dict[str, None] = field(default_factory=dict)
    deletions: dict[str, Cause] = field(default_factory=dict)
    history: list[HistoryEntry] = field(default_factory=list)

    def state_of(self, billing_event_id: str) -> StoredState | None:
        """What the domain decides against."""
        stored = self.stored.get(billing_event_id)
        if stored is not None:
            moved = self.moved_items.get(billing_event_id, {})
            named = self.auto_pass_fields.get(stored.event.company_id)
            return StoredState(stored.stage, stored.event.version, stored.event, moved, named)
        version = self.deleted_before.get(billing_event_id)
        return StoredState(Stage.DELETED, version, None) if version is not None else None

    def note(self, billing_event_id: str, what: str, cause: Cause, **detail: object) -> None:
        """Add to the history."""
        entry = HistoryEntry(billing_event_id, what, detail, correlation_id=cause.correlation_id)
        self.history.append(entry)


async def _load(
    work: UnitOfWork, messages: Sequence[Message], sent: Sequence[BillingEvent], company_source: CompanySource
) -> _Batch:
    ids = {message.body.billing_event_id for message in messages}
    stored = await events.lock_events(work.connection, ids)
    unknown = ids - stored.keys()
    return _Batch(
        company_source=company_source,
        sources=await load_sources(work.connection, sent, company_source),
        stored=stored,
        deleted_before=await deletions.load_deletions(work.connection, unknown) if unknown else {},
        moved_items=await lineages.load_moved_items(
            work.connection,
            {
                event.billing_event_id: stored[event.billing_event_id].event.lineage_root_id
                for event in sent
                if event.billing_event_id in stored
                and stored[event.billing_event_id].stage not in UNRELEASED_STAGES
            },
        ),
        corrected_on=await events.load_dates(
            work.connection,
            {
                event.corrects_billing_event_id
                for event in sent
                if event.corrects_billing_event_id is not None
            },
        ),
        auto_pass_fields=await auto_pass_fields.load_fields(
            work.connection, (each.event.company_id for each in stored.values())
        ),
    )


def _currency_had_ended(work: UnitOfWork, batch: _Batch, message: Message) -> bool:
    """Whether an event that corrects another one is refused, since its currency had ended on that one's date.

    One that corrects what is not known is judged by its own date (domain.md, opening section).
    """
    body = message.body
    corrects = body.corrects_billing_event_id
    if corrects is None:
        return False
    original = batch.stored.get(corrects)
    day = original.event.date if original is not None else batch.corrected_on.get(corrects, body.date)
    try:
        body.check_currencies_on(day)
    except ValidationError as refused:
        error = refused.errors()[0]
        field, why = str(error["loc"][0]), error["msg"]
        work.reject(message, f"not a valid {message.type}: {field} {why}", [{"field": field, "message": why}])
        return True
    return False


def _take_generated(work: UnitOfWork, batch: _Batch, sent: BillingEvent, message: Message) -> None:
    billing_event_id, cause = sent.billing_event_id, message.cause
    match take_generated(batch.state_of(billing_event_id), sent):
        case ChangeRefused(reason):
            stored = batch.stored.get(billing_event_id)
            project_id = stored.event.project_id if stored is not None else sent.project_id
            publish_refused(work, billing_event_id, project_id, [reason], cause)
            batch.note(
                billing_event_id, "refused", cause, version=sent.version, reasons=reason_bodies([reason])
            )
        case Accepted(event):
            known = batch.stored.get(billing_event_id)
            stored = replace(known, event=event) if known is not None else StoredEvent(event)
            if stored.stage in UNRELEASED_STAGES and may_become_too_large(
                stored, len(message.record.value or b"")
            ):
                _reject_too_large(work, message)
                return
            stored = complete_change(stored, batch.sources, batch.company_source)
            what: Literal["registered", "changed"] = "registered" if known is None else "changed"
            try:
                publish_billing_event(work, what, stored, cause)
            except MessageTooLargeError:
                _reject_too_large(work, message)
                return
            publish_mismatch(work, known, stored, cause)
            batch.stored[billing_event_id] = stored
            if known is None:
                batch.new_ids[billing_event_id] = None
            elif billing_event_id not in batch.new_ids:
                batch.changed_ids[billing_event_id] = None
            batch.note(billing_event_id, what, cause, version=sent.version, stage=stored.stage.value)
        case DeletedBefore(event, version):
            deleted = deleted_event(StoredEvent(event), version)
            batch.stored[billing_event_id] = deleted
            batch.new_ids[billing_event_id] = None
            publish_deleted(work, deleted, cause)
            batch.note(billing_event_id, "deleted", cause, version=version)
        case IdTaken(reason):
            _reject_taken(work, batch, message, reason)
        case Ignored():
            pass


def _take_deleted(work: UnitOfWork, batch: _Batch, message: Message) -> None:
    body: BillingEventDeleted = message.body
    billing_event_id, cause = body.billing_event_id, message.cause
    stored = batch.stored.get(billing_event_id)
    match take_deleted(batch.state_of(billing_event_id), billing_event_id, body.version):
        case ChangeRefused(reason):
            project_id = stored.event.project_id if stored is not None else body.project_id
            publish_refused(work, billing_event_id, project_id, [reason], cause)
            batch.note(
                billing_event_id, "refused", cause, version=body.version, reasons=reason_bodies([reason])
            )
        case Deleted(_, version):
            if stored is None:
                batch.deleted_before[billing_event_id] = version
                batch.deletions[billing_event_id] = cause
                return
            deleted = deleted_event(stored, version)
            batch.stored[billing_event_id] = deleted
            if billing_event_id not in batch.new_ids:
                batch.changed_ids[billing_event_id] = None
            publish_deleted(work, deleted, cause)
            batch.note(billing_event_id, "deleted", cause, version=version)
        case IdTaken(reason):
            _reject_taken(work, batch, message, reason)
        case Ignored():
            pass


def _reject_too_large(work: UnitOfWork, message: Message) -> None:
    work.reject(message, _TOO_LARGE, [{"field": "items", "message": _TOO_LARGE}])


def _reject_taken(work: UnitOfWork, batch: _Batch, message: Message, reason: Reason) -> None:
    """Put aside what PSA says of an id that is not its own; operators hear of the dead letter."""
    body = message.body
    why = f"{reason.code}: {reason.message}"
    work.reject(message, why, [{"field": "billing_event_id", "message": why}])
    batch.note(
        body.billing_event_id,
        "refused",
        message.cause,
        version=body.version,
        reasons=reason_bodies([reason]),
    )


async def _save(work: UnitOfWork, batch: _Batch) -> list[StoredEvent]:
    new = [batch.stored[billing_event_id] for billing_event_id in batch.new_ids]
    await event_changes.insert_events(work.connection, new)
    await event_changes.update_completion(
        work.connection, [batch.stored[billing_event_id] for billing_event_id in batch.changed_ids]
    )
    kept = {billing_event_id: batch.deleted_before[billing_event_id] for billing_event_id in batch.deletions}
    await deletions.keep_deletions(work.connection, kept)
    # Its event may be on its way in a transaction that does not see the delete.
    await completions.note_changes(
        work.connection,
        [
            (Source(completions.DELETION, billing_event_id), cause)
            for billing_event_id, cause in batch.deletions.items()
        ],
    )
    await history.append_history(work.connection, batch.history)
    return new


def _sent_event(body: BillingEventGenerated) -> BillingEvent:
    return BillingEvent(
        billing_event_id=body.billing_event_id,
        version=body.version,
        project_id=body.project_id,
        date=body.date,
        currency=body.currency,
        items=tuple(in_order_of_creation(map(_sent_item, body.items))),
        batch_id=body.batch_id,
        account_id=body.account_id,
        company_id=body.company_id,
        billing_event_currency=body.billing_event_currency,
        customer_reference=body.customer_reference,
        auto_pass_to_accounting=body.auto_pass_to_accounting,
        corrects_billing_event_id=body.corrects_billing_event_id,
        fields=body.fields,
    )


def _sent_item(item: GeneratedItem) -> BillingEventItem:
    return BillingEventItem(
        item_id=item.item_id,
        created_at=item.created_at,
        category=item.category,
        business_record_id=item.business_record_id,
        description=item.description,
        amount=item.amount,
        quantity=item.quantity,
        unit_price=item.unit_price,
        date=item.date,
        business_record_version=item.business_record_version,
        services_product=item.services_product,
        budget_id=item.budget_id,
        fields=item.fields,
    )
