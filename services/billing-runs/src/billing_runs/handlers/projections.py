"""What this service keeps of the facts about billing events and accounts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from billing_runs import views
from billing_runs.store import projections
from billing_runs.store.projections import KnownEvent
from billing_runs.views import SeenBillingEvent
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.message import Message
from shared.money import exact_sum, format_amount

STAGE_BY_TYPE: Final[Mapping[str, str]] = {
    "release.billing-event.deleted.v1": "deleted",
    "release.billing-event.invoiced.v1": "invoiced",
    "release.billing-event.reverted.v1": "reverted",
    "release.billing-event.closed.v1": "closed",
}
EVENT_TYPES: Final = views.EVENT_TYPES | frozenset(STAGE_BY_TYPE)


async def keep_accounts(work: UnitOfWork, messages: Sequence[Message]) -> None:
    """Keep the newest version of each account of a batch."""
    newest: dict[str, Any] = {}
    for message in messages:
        known = newest.get(message.body.account_id)
        if known is None or message.body.version > known.version:
            newest[message.body.account_id] = message.body
    await projections.upsert_accounts(
        work.connection,
        [(body.account_id, body.version, body.name, body.billing_cycle_id) for body in newest.values()],
    )


async def keep_events(work: UnitOfWork, messages: Sequence[Message]) -> None:
    """Keep where the events of a batch are now. One event's facts come in order, since they have the same key."""
    whole: dict[str, KnownEvent] = {}
    stages: dict[str, str] = {}
    for message in messages:
        if message.type in views.EVENT_TYPES:
            event = message.body.billing_event
            if event.stage == "invoiced":
                # What its document left out has gone to an event of its own: a run's figures stay what they were.
                stages[event.billing_event_id] = event.stage
                continue
            whole[event.billing_event_id] = _known_event(event)
            stages.pop(event.billing_event_id, None)
        elif message.type in STAGE_BY_TYPE:
            stages[message.body.billing_event_id] = STAGE_BY_TYPE[message.type]
    await projections.upsert_events(work.connection, list(whole.values()))
    await projections.set_stages(work.connection, stages)


def _known_event(event: SeenBillingEvent) -> KnownEvent:
    amounts: dict[tuple[str, str | None], list[Decimal]] = defaultdict(list)
    for item in event.items:
        amounts[item.category, item.services_product].append(item.amount)
    lines = [
        {
            "category": category,
            "product": product,
            "items": len(group),
            "amount": format_amount(exact_sum(group), event.currency),
        }
        for (category, product), group in amounts.items()
    ]
    return KnownEvent(
        billing_event_id=event.billing_event_id,
        project_id=event.project_id,
        batch_id=event.batch_id,
        account_id=event.account_id,
        date=event.date,
        currency=event.currency,
        summary_amount=event.summary_amount,
        stage=event.stage,
        missing=event.missing,
        on_hold=event.on_hold,
        figures={"lines": lines},
    )
