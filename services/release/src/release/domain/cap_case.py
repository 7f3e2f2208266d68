"""One event against its caps: the numbers that every rule looks at, and the explanation made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from release.domain.budget_cap import is_over
from release.domain.cap_state import BudgetCap, ProjectCap
from release.domain.division import Division, amount_by_budget
from release.domain.events import BillingEvent
from release.domain.explanation import BudgetDecision, Decision, ItemDecision, Level, Rule
from release.domain.project_cap import fits_project
from shared.money import ZERO


@dataclass(slots=True)
class CapCase:
    """An event and its caps; `asked` is the sum of its items by budget, `over` the budgets that it would pass."""

    event: BillingEvent
    cap: ProjectCap
    summary_amount: Decimal
    asked: Mapping[str, Decimal]
    over: Mapping[str, BudgetCap]

    @classmethod
    def of(cls, event: BillingEvent, cap: ProjectCap) -> Self:
        """The numbers of this event against these caps; every budget that an item names must be one of the cap's."""
        asked = amount_by_budget(event.items)
        over: dict[str, BudgetCap] = {}
        if event.currency == cap.currency:
            over = {
                budget_id: budget
                for budget_id, amount in asked.items()
                if is_over(budget := cap.budgets[budget_id], amount, event.currency)
            }
        return cls(event, cap, event.summary_amount, asked, over)

    @property
    def over_project(self) -> bool:
        """Whether the project's cap is enforced and the event is more than what remains, reservations taken off."""
        return self.cap.enforced and not fits_project(self.summary_amount, self.cap.room)

    def refused(self, rule: Rule, items: tuple[ItemDecision, ...] = ()) -> Decision:
        """The explanation of a refusal: nothing is released."""
        return self._decision(rule, ZERO, {}, items)

    def whole(self) -> Decision:
        """The explanation of a release as a whole: nothing stood against it."""
        if self.summary_amount <= ZERO and self.cap.enforced:
            rule = Rule.CREDIT_ALWAYS_FITS
        elif self.cap.enforced:
            rule = Rule.FITS_REMAINING
        elif self._capped_budgets():
            rule = Rule.WITHIN_BUDGETS
        else:
            rule = Rule.NOT_ENFORCED
        return self._decision(rule, self.summary_amount, self.asked, ())

    def divided(self, rule: Rule, division: Division) -> Decision:
        """The explanation of a split."""
        return self._decision(
            rule, division.released_amount, division.released_by_budget(), division.decisions
        )

    def budget_decisions(self, released: Mapping[str, Decimal]) -> tuple[BudgetDecision, ...]:
        """The numbers of the capped budgets that the event uses, if this much is released on them."""
        return tuple(
            BudgetDecision(
                budget_id=budget.budget_id,
                amount=budget.amount,
                tolerance=budget.tolerance,
                asked=self.asked[budget.budget_id],
                over=budget.budget_id in self.over,
                released_before=(before := budget.released_in(self.event.currency)),
                released_after=before + released.get(budget.budget_id, ZERO),
            )
            for budget in self._capped_budgets()
        )

    def _capped_budgets(self) -> list[BudgetCap]:
        return [budget for budget_id in self.asked if (budget := self.cap.budgets[budget_id]).capped]

    def _decision(
        self,
        rule: Rule,
        released_amount: Decimal,
        released: Mapping[str, Decimal],
        items: tuple[ItemDecision, ...],
    ) -> Decision:
        cap, currency = self.cap, self.event.currency
        budgets = () if currency != cap.currency else self.budget_decisions(released)
        remaining = cap.remaining
        level = Level.PROJECT if cap.tracked else None
        return Decision(
            rule=rule,
            level=Level.BUDGET if budgets and not cap.enforced else level,
            project_currency=cap.currency,
            event_currency=currency,
            summary_amount=self.summary_amount,
            bookings=cap.bookings,
            remaining_before=remaining,
            remaining_after=remaining - released_amount if currency == cap.currency else remaining,
            budgets=budgets,
            items=items,
        )
