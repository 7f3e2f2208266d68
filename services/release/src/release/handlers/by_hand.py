"""Fills, holds and recalculations: what users and processes change about one event (domain.md sections 1 and 2)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from release.domain.events import BillingEvent, RecordKey
from release.domain.fills import Fill, fill_by_hand
from release.domain.psa_changes import ChangeRefused
from release.domain.reasons import Reason, not_found, out_of_reach, too_large
from release.domain.recalculation import recalculate
from release.domain.sources import BusinessRecord, CompanySource
from release.facts import reason_bodies
from release.handlers.arrival import complete_change
from release.handlers.commands import Command, CommandHandler, starter_of
from release.handlers.publishing import publish_billing_event, publish_mismatch, publish_refused
from release.store import auto_pass_fields, event_changes, events, history
from release.store.events import StoredEvent
from release.store.history import HistoryEntry
from release.store.known_sources import load_records, load_sources
from release.store.locks import lock_events_only
from shared.contracts.command_fields import FillFields
from shared.database.unit_of_work import Cause, MessageTooLargeError, UnitOfWork
from shared.money import has_only_minor_units

FILL: Final = "release.billing-event.fill.v1"
HOLD: Final = "release.billing-event.hold.v1"
RECALCULATE: Final = "release.billing-event.recalculate.v1"


@dataclass(frozen=True, slots=True)
class Hold:
    """Hold the event back, or let it go on."""

    on_hold: bool


@dataclass(frozen=True, slots=True)
class Recalculation:
    """Copy what the business records now say."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change to one event; `starter` (`user_id`, `email`) is None where no user asks, but a process."""

    billing_event_id: str
    what: Fill | Hold | Recalculation
    cause: Cause
    starter: Mapping[str, Any] | None = None

    @property
    def word(self) -> str:
        """What the history calls it."""
        match self.what:
            case Fill():
                return "filled"
            case Hold(on_hold):
                return "held" if on_hold else "let_go_on"
            case Recalculation():
                return "recalculated"


def fill_of(fields: FillFields) -> Fill:
    """The fill that a command or a request asks for."""
    return Fill(
        account_id=fields.account_id,
        company_id=fields.company_id,
        billing_event_currency=fields.billing_event_currency,
        auto_pass_to_accounting=fields.auto_pass_to_accounting,
        fields=fields.fields,
        services_products={item.item_id: item.services_product for item in fields.items},
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change: the event as it is now, None if it is not known; and why it is refused, if it is."""

    stored: StoredEvent | None
    refusal: Reason | None = None


async def change_by_hand(
    work: UnitOfWork, changes: Sequence[Change], company_source: CompanySource, *, tells_refusals: bool
) -> list[Outcome]:
    """Do these changes in their order, and give the outcome of each.

    Locks the events. A `changed` fact tells of each change that changed something; refusals are told of, by a `refused`
    fact and in the history, where they are not the answer of a call.
    """
    outcomes: list[Outcome] = []
    rounds = list(_rounds(changes))
    if len(rounds) > 1:
        await lock_events_only(work.connection, {change.billing_event_id for change in changes})
    for each_once in rounds:
        outcomes += await _change_each_once(work, each_once, company_source, tells_refusals=tells_refusals)
    return outcomes


def command_handlers(company_source: CompanySource) -> dict[str, CommandHandler]:
    """The handlers of the fill, hold and recalculate commands, by type."""

    async def handle(work: UnitOfWork, commands: Sequence[Command]) -> None:
        changes = [_change_of(command) for command in commands]
        await change_by_hand(work, changes, company_source, tells_refusals=True)

    return dict.fromkeys((FILL, HOLD, RECALCULATE), handle)


def _change_of(command: Command) -> Change:
    body = command.body
    what: Fill | Hold | Recalculation
    if command.type == FILL:
        what = fill_of(body)
    elif command.type == HOLD:
        what = Hold(body.on_hold)
    else:
        what = Recalculation()
    return Change(body.billing_event_id, what, command.cause, starter_of(body))


def _rounds(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """The changes in their order, cut so that each event occurs once in a round."""
    current: dict[str, Change] = {}
    for change in changes:
        if change.billing_event_id in current:
            yield list(current.values())
            current = {}
        current[change.billing_event_id] = change
    if current:
        yield list(current.values())


async def _change_each_once(
    work: UnitOfWork, changes: Sequence[Change], company_source: CompanySource, *, tells_refusals: bool
) -> list[Outcome]:
    stored = await events.lock_events(work.connection, [change.billing_event_id for change in changes])
    records = await _load_records_to_copy(work, changes, stored)
    named = await _auto_pass_fields(work, changes, stored)
    decided = [_decide(change, stored.get(change.billing_event_id), records, named) for change in changes]
    accepted = [event for event in decided if isinstance(event, BillingEvent)]
    sources = await load_sources(work.connection, accepted, company_source)
    outcomes: list[Outcome] = []
    changed: list[StoredEvent] = []
    entries: list[HistoryEntry] = []
    for change, verdict in zip(changes, decided, strict=True):
        before = stored.get(change.billing_event_id)
        if isinstance(verdict, Reason):
            outcomes.append(Outcome(before, verdict))
            if tells_refusals:
                entries.append(_tell_refusal(work, change, before, verdict))
            continue
        assert before is not None
        after = before
        if verdict != before.event:
            after = complete_change(replace(before, event=verdict), sources, company_source)
            try:
                publish_billing_event(work, "changed", after, change.cause, change.starter)
            except MessageTooLargeError:
                reason = too_large(change.billing_event_id)
                outcomes.append(Outcome(before, reason))
                if tells_refusals:
                    entries.append(_tell_refusal(work, change, before, reason))
                continue
            changed.append(after)
            publish_mismatch(work, before, after, change.cause)
            entries.append(_entry(change, change.word, {"stage": after.stage.value}))
        outcomes.append(Outcome(after))
    await event_changes.update_completion(work.connection, changed)
    await history.append_history(work.connection, entries)
    return outcomes


async def _auto_pass_fields(
    work: UnitOfWork, changes: Sequence[Change], stored: Mapping[str, StoredEvent]
) -> Mapping[str | None, str]:
    """By company, the fields in place of the auto-pass flag, where any custom field is filled."""
    filled = [change for change in changes if isinstance(change.what, Fill) and change.what.fields]
    return await auto_pass_fields.load_fields(
        work.connection,
        (
            _company_of(change.what, stored[change.billing_event_id].event)
            for change in filled
            if isinstance(change.what, Fill) and change.billing_event_id in stored
        ),
    )


def _company_of(fill: Fill, event: BillingEvent) -> str | None:
    return event.company_id or fill.company_id


async def _load_records_to_copy(
    work: UnitOfWork, changes: Sequence[Change], stored: Mapping[str, StoredEvent]
) -> dict[RecordKey, BusinessRecord]:
    recalculated = [
        stored[change.billing_event_id].event
        for change in changes
        if isinstance(change.what, Recalculation) and change.billing_event_id in stored
    ]
    return await load_records(
        work.connection, (item.record_key for event in recalculated for item in event.items)
    )


def _tell_refusal(
    work: UnitOfWork, change: Change, stored: StoredEvent | None, reason: Reason
) -> HistoryEntry:
    project_id = stored.event.project_id if stored is not None else None
    publish_refused(work, change.billing_event_id, project_id, [reason], change.cause, starter=change.starter)
    return _entry(change, "refused", {"change": change.word, "reasons": reason_bodies([reason])})


def _entry(change: Change, what: str, detail: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(
        change.billing_event_id,
        what,
        detail,
        actor=change.starter,
        correlation_id=change.cause.correlation_id,
    )


def _decide(
    change: Change,
    stored: StoredEvent | None,
    records: Mapping[RecordKey, BusinessRecord],
    named_fields: Mapping[str | None, str],
) -> BillingEvent | Reason:
    """The event as the change leaves it, to be completed, or why the change is refused."""
    if stored is None:
        return not_found(change.billing_event_id)
    event = stored.event
    match change.what:
        case Fill():
            filled_by: Literal["user", "process"] = "process" if change.starter is None else "user"
            named = named_fields.get(_company_of(change.what, event))
            verdict = fill_by_hand(event, change.what, filled_by, named)
            return verdict.reason if isinstance(verdict, ChangeRefused) else verdict.event
        case Hold(on_hold):
            over = out_of_reach(event.billing_event_id, event.stage)
            return over if over is not None else replace(event, on_hold=on_hold)
        case Recalculation():
            over = out_of_reach(event.billing_event_id, event.stage)
            return over if over is not None else _recalculated(event, records)


def _recalculated(event: BillingEvent, records: Mapping[RecordKey, BusinessRecord]) -> BillingEvent | Reason:
    """The event with its records' figures; refused where the event's currency cannot express one of the amounts."""
    recalculated = recalculate(event, records)
    item_ids = [
        item.item_id for item in recalculated.items if not has_only_minor_units(item.amount, event.currency)
    ]
    if not item_ids:
        return recalculated
    return Reason(
        "amount_not_expressible",
        f"The business records of items {', '.join(item_ids)} have amounts with more digits than {event.currency} has.",
        {"item_ids": item_ids, "currency": event.currency},
    )
