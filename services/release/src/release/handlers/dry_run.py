"""A release job as a dry run: decided by the path of the real one, and nothing is done (domain.md section 2).

The books are only looked at. What the earlier chunks of the dry run would have released and billed is kept beside
them, so that each chunk sees the caps, items and records as the real job's chunk would.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from release.domain.cap_state import ProjectCap
from release.domain.release import Outcome, Refused, Split
from release.handlers.release_state import ReleaseState, load_state
from release.store.connection import Connection
from release.store.dry_runs import add_billed_dry, add_consumed, load_billed_dry, load_consumed

Consumed = tuple[str, str | None, str, Decimal]
"""Project, budget or None, currency, and the amount that a dry run would have released there."""


async def load_dry_state(
    connection: Connection, billing_event_ids: Sequence[str], job_id: str
) -> ReleaseState:
    """The state that a chunk of a dry run is decided on; nothing is locked."""
    state = await load_state(connection, billing_event_ids)
    consumed = await load_consumed(connection, job_id, state.caps)
    billed = state.billed.copy()
    for billing_event_id, item_ids, billings in await load_billed_dry(
        connection, job_id, state.billing_events.values()
    ):
        billed.add(billing_event_id, item_ids, billings)
    return replace(state, caps=with_consumed(state.caps, consumed), billed=billed, dry_run_job_id=job_id)


def with_consumed(caps: Mapping[str, ProjectCap], consumed: Iterable[Consumed]) -> dict[str, ProjectCap]:
    """The caps once this much more is released; what a budget took that its project no longer has is left aside."""
    after = dict(caps)
    for project_id, budget_id, currency, amount in consumed:
        cap = after[project_id]
        if budget_id is None:
            after[project_id] = replace(
                cap, released={**cap.released, currency: cap.released_in(currency) + amount}
            )
        elif budget_id in cap.budgets:
            budget = cap.budgets[budget_id]
            total = budget.released_in(currency) + amount
            budget = replace(budget, released={**budget.released, currency: total})
            after[project_id] = replace(cap, budgets={**cap.budgets, budget_id: budget})
    return after


async def keep_consumed(connection: Connection, job_id: str, outcomes: Iterable[Outcome]) -> None:
    """Keep what a chunk would have released, for those that follow; the dry run must be locked."""
    passed = [outcome for outcome in outcomes if not isinstance(outcome, Refused)]
    entries = (entry for outcome in passed for entry in outcome.ledger_entries)
    made_ids = [outcome.new_event.billing_event_id for outcome in passed if isinstance(outcome, Split)]
    await add_consumed(connection, job_id, entries, made_ids)
    await add_billed_dry(
        connection,
        job_id,
        [billing for outcome in passed for billing in outcome.billings],
        [
            (item.item_id, outcome.event.billing_event_id)
            for outcome in passed
            for item in outcome.event.items
        ],
    )
