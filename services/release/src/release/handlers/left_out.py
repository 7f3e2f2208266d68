"""Items that a document leaves out are moved to a new event, to be billed later (documents.md section 3.5)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from release.domain.completion import missing_fields
from release.domain.left_out import Move, move_left_out
from release.domain.reasons import Reason, not_found
from release.facts import reason_bodies
from release.handlers.publishing import publish_billing_event
from release.release_facts import left_out_bodies
from release.store import caps, event_changes, history, ledger
from release.store.events import StoredEvent, lock_events
from release.store.history import HistoryEntry
from release.store.ledger import LedgerRow
from release.store.lineages import load_taken_ids
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.money import exact_sum, format_amount


@dataclass(frozen=True, slots=True)
class MoveAsk:
    """A wish to move what an event's document leaves out; by whom."""

    billing_event_id: str
    starter: Mapping[str, Any] | None
    cause: Cause


async def move_on_request(work: UnitOfWork, ask: MoveAsk) -> dict[str, Any] | tuple[Reason, ...]:
    """Move all that the event's document leaves out, or nothing; gives the answer, or the reasons against it.

    Locks the project, then the event. A refusal is kept in the history; telling of it is the caller's.
    """
    connection = work.connection
    known_caps = await caps.lock_caps_of_events(connection, [ask.billing_event_id], with_removed_budgets=True)
    stored = (await lock_events(connection, [ask.billing_event_id])).get(ask.billing_event_id)
    if stored is None:
        return (not_found(ask.billing_event_id),)
    event = stored.event
    taken_ids = await load_taken_ids(connection, [event.lineage_root_id])
    move = move_left_out(event, stored.left_out_items, known_caps.get(event.project_id), taken_ids)
    if isinstance(move, Move):
        return await _write(work, ask, stored, move)
    refusal = _entry(ask, ask.billing_event_id, "move_refused", {"reasons": reason_bodies(move)})
    await history.append_history(connection, [refusal])
    return move


async def _write(work: UnitOfWork, ask: MoveAsk, stored: StoredEvent, move: Move) -> dict[str, Any]:
    connection, project_id = work.connection, stored.event.project_id
    origin = replace(stored, event=move.origin, left_out={})
    made = StoredEvent(
        move.new_event,
        missing=missing_fields(move.new_event),
        engagement=stored.engagement,
        conflict=stored.conflict,
    )
    item_ids = [item.item_id for item in move.new_event.items]
    answer = {
        "billing_event_id": origin.billing_event_id,
        "new_billing_event_id": made.billing_event_id,
        "moved_item_ids": item_ids,
        "amount": format_amount(
            exact_sum(item.amount for item in move.new_event.items), origin.event.currency
        ),
        "currency": origin.event.currency,
    }
    decision = {"rule": "left_out_moved", "document_id": origin.document_id} | answer
    rows = [LedgerRow(entry, "move", decision) for entry in move.booking.entries]
    await event_changes.delete_items(connection, [(origin.billing_event_id, item_id) for item_id in item_ids])
    await event_changes.save_stages(connection, [origin])
    await event_changes.insert_events(connection, [made])
    await ledger.append_ledger(connection, rows)
    await caps.give_back(connection, [row.entry for row in rows])
    for body in left_out_bodies(stored, left_out=False, moved_to=made.billing_event_id, starter=ask.starter):
        work.publish("release.billing-event.left-out.v1", project_id, body, ask.cause)
    publish_billing_event(work, "changed", origin, ask.cause, ask.starter)
    publish_billing_event(work, "registered", made, ask.cause, ask.starter)
    lineage = {"origin_id": origin.billing_event_id, "root_id": made.event.root_id, "made_by_cap": False}
    left_out_of = {"document_id": origin.document_id, "criteria": dict(stored.left_out)}
    await history.append_history(
        connection,
        [
            _entry(ask, origin.billing_event_id, "left_out_moved", {"decision": decision}),
            _entry(ask, made.billing_event_id, "registered", lineage | {"left_out_of": left_out_of}),
        ],
    )
    return answer


def _entry(ask: MoveAsk, billing_event_id: str, what: str, detail: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(billing_event_id, what, detail, ask.starter, correlation_id=ask.cause.correlation_id)
