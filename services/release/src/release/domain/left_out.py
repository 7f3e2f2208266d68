"""Items that a document leaves out: whether they may be moved, and the event made of them (documents.md 3.5)."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from release.domain.cap_state import ProjectCap
from release.domain.events import BillingEvent, BillingEventItem
from release.domain.ledger import Booking, book_move
from release.domain.reasons import Reason, out_of_reach
from release.domain.revert import refusals_by_caps
from release.domain.split import event_made_of
from release.domain.split_ids import next_event_id
from release.domain.stages import Stage


@dataclass(frozen=True, slots=True)
class Move:
    """Left-out items in a new event: the origin without them, the new event, and what the cap gets back."""

    origin: BillingEvent
    new_event: BillingEvent
    booking: Booking


def move_left_out(
    event: BillingEvent,
    left_out: Sequence[BillingEventItem],
    cap: ProjectCap | None,
    taken_ids: Container[str],
) -> Move | tuple[Reason, ...]:
    """Decide a move: all left-out items or, with the reasons, none. `cap` is None while the project is not known.

    Refused is an event that no document bills (its stage's code, or `not_invoiced`), one whose document leaves nothing
    out (`nothing_left_out`), and left-out credits whose room on a cap has been billed meanwhile: giving them back would
    pass it (`cap_exceeded`, `budget_cap_exceeded`).
    """
    if event.stage is not Stage.INVOICED or cap is None:
        return (_not_invoiced(event),)
    if not left_out:
        return (
            Reason(
                "nothing_left_out",
                f"The document of billing event {event.billing_event_id} leaves none of its items out.",
                {"billing_event_id": event.billing_event_id},
            ),
        )
    refusals = refusals_by_caps([replace(event, items=tuple(left_out))], cap)
    if refusals:
        return refusals
    moved_ids = {item.item_id for item in left_out}
    new_id = next_event_id(event.lineage_root_id, taken_ids)
    return Move(
        replace(event, items=tuple(item for item in event.items if item.item_id not in moved_ids)),
        event_made_of(event, new_id, left_out, made_by_cap=False),
        book_move(event, left_out, cap),
    )


def _not_invoiced(event: BillingEvent) -> Reason:
    over = None if event.stage is Stage.RELEASED else out_of_reach(event.billing_event_id, event.stage)
    return over or Reason(
        "not_invoiced",
        f"Billing event {event.billing_event_id} is not invoiced.",
        {"stage": event.stage.value},
    )
