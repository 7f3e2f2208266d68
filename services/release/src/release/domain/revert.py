"""Which events a revert undoes, and which stay (domain.md section 2, Revert)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from release.domain import cap_reasons
from release.domain.budget_cap import is_over
from release.domain.cap_state import ProjectCap
from release.domain.division import amount_by_budget
from release.domain.events import BillingEvent
from release.domain.explanation import BudgetDecision
from release.domain.project_cap import fits_project
from release.domain.reasons import Reason, not_found, out_of_reach
from release.domain.stages import REVERTIBLE_STAGES, UNRELEASED_STAGES, Stage
from shared.money import ZERO, exact_sum


@dataclass(frozen=True, slots=True)
class LineageMember:
    """One event of a lineage of splits: its stage, and the event that it was split from (None for the root)."""

    stage: Stage
    origin_id: str | None


@dataclass(frozen=True, slots=True)
class RevertPlan:
    """What a revert does: the released events to revert, the unreleased ones to delete, and what stays as it is.

    Ids in the order of the splits, the event itself first. Without `cascade` everything that splits made stays; with it
    the released ones are reverted and the unreleased ones are deleted, so that nothing of the event is left to bill.
    """

    reverting: tuple[str, ...]
    deleting: tuple[str, ...]
    staying: tuple[str, ...]

    def with_corrections(self, correcting: Sequence[str]) -> "RevertPlan":
        """The plan with what corrects its events, which is reverted with them (documents.md section 3.4)."""
        own = set(self.reverting)
        added = (each for each in correcting if each not in own)
        return RevertPlan((*self.reverting, *added), self.deleting, self.staying)


def plan_revert(
    billing_event_id: str, lineage: Mapping[str, LineageMember], *, cascade: bool
) -> RevertPlan | tuple[Reason, ...]:
    """Decide a revert, all or nothing: the plan, or the reasons against it.

    `lineage` holds all events of the event's lineage in the order in which splits made them. Refused is an event that
    is unknown, over (its stage's code), or not released (`not_released`); with `cascade` also while one that a split
    made of it is being reverted. Reverted and deleted ones are left aside.
    """
    event = lineage.get(billing_event_id)
    if event is None:
        return (not_found(billing_event_id),)
    if event.stage not in REVERTIBLE_STAGES:
        return (_not_revertible(billing_event_id, event.stage),)
    made = {
        member_id: lineage[member_id].stage
        for member_id in _made_by_splits(billing_event_id, lineage)
        if lineage[member_id].stage not in {Stage.REVERTED, Stage.DELETED}
    }
    if not cascade:
        return RevertPlan((billing_event_id,), (), tuple(made))
    refusals = tuple(
        _not_revertible(member_id, stage) for member_id, stage in made.items() if stage is Stage.REVERTING
    )
    if refusals:
        return refusals
    return RevertPlan(
        reverting=(billing_event_id, *(key for key, stage in made.items() if stage in REVERTIBLE_STAGES)),
        deleting=tuple(key for key, stage in made.items() if stage in UNRELEASED_STAGES),
        staying=(),
    )


def refusals_by_caps(events: Sequence[BillingEvent], cap: ProjectCap) -> tuple[Reason, ...]:
    """The caps that undoing credits would pass: what they gave back has been billed since.

    `events` are all that one revert undoes, of one project; `cap` holds every budget that they name. Undoing a release
    of more than 0 in all gives back and is never refused.
    """
    currency = events[0].currency
    if currency != cap.currency:
        return ()
    reasons = []
    taken = -exact_sum(event.summary_amount for event in events)
    if cap.enforced and not fits_project(taken, cap.room):
        reasons.append(cap_reasons.over_project("cap_exceeded", cap, taken))
    over = []
    for budget_id, amount in amount_by_budget(item for event in events for item in event.items).items():
        budget = cap.budgets[budget_id]
        if is_over(budget, -amount, currency):
            released = budget.released_in(currency)
            over.append(
                BudgetDecision(budget_id, budget.amount, budget.tolerance, -amount, True, released, released)
            )
    if over:
        reasons.append(cap_reasons.over_budgets("budget_cap_exceeded", over, currency))
    return tuple(reasons)


@dataclass(frozen=True, slots=True)
class Reservation:
    """The room that an event under revert takes back of its project (`budget_id` None) or of one of its budgets."""

    billing_event_id: str
    project_id: str
    budget_id: str | None
    currency: str
    amount: Decimal


def reservations_of(event: BillingEvent) -> tuple[Reservation, ...]:
    """What the revert of this event will take from the caps, for it was a credit there; nothing where it gives back."""
    released: dict[str | None, Decimal] = {None: event.summary_amount}
    released.update(amount_by_budget(event.items))
    return tuple(
        Reservation(event.billing_event_id, event.project_id, budget_id, event.currency, -amount)
        for budget_id, amount in released.items()
        if amount < ZERO
    )


def _made_by_splits(billing_event_id: str, lineage: Mapping[str, LineageMember]) -> list[str]:
    """The events that splits made of this one, directly or of what they made, in the order of the lineage."""
    descent = {billing_event_id}
    made = []
    for member_id, member in lineage.items():
        if member.origin_id in descent:
            descent.add(member_id)
            made.append(member_id)
    return made


def _not_revertible(billing_event_id: str, stage: Stage) -> Reason:
    return out_of_reach(billing_event_id, stage) or Reason(
        "not_released", f"Billing event {billing_event_id} is not released.", {"stage": stage.value}
    )
