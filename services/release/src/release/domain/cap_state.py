"""The state of a project's caps: what is allowed and what is released, at both levels (domain.md section 3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from release.domain.tolerance import NO_TOLERANCE, Tolerance
from shared.money import ZERO


@dataclass(frozen=True, slots=True)
class BudgetCap:
    """One budget: its amount in the project's currency, whether it is capped, and its released totals by currency.

    `reserved` is what credits under revert will take, by currency. `own_currencies` are those in which something was
    released while they were the project's.
    `removed` where the project no longer has it: then it caps nothing, and is kept for what the ledger says of it.
    """

    budget_id: str
    amount: Decimal
    apply_billing_cap: bool
    released: Mapping[str, Decimal] = field(default_factory=dict)
    tolerance: Tolerance = NO_TOLERANCE
    removed: bool = False
    reserved: Mapping[str, Decimal] = field(default_factory=dict)
    own_currencies: frozenset[str] = frozenset()

    @property
    def capped(self) -> bool:
        """Whether the budget may refuse."""
        return self.apply_billing_cap and not self.removed

    def released_in(self, currency: str) -> Decimal:
        """The released total in this currency."""
        return self.released.get(currency, ZERO)

    def taken_in(self, currency: str) -> Decimal:
        """What a decision counts as used in this currency: released, or reserved for credits under revert."""
        return self.released_in(currency) + self.reserved.get(currency, ZERO)


@dataclass(slots=True)
class ProjectCap:
    """A project as it is stored when a decision commits, under the lock: bookings, flags, and released totals.

    `bookings` 0 where none are known. `released` is by currency: where the cap is only tracked, events of other
    currencies are counted apart. `reserved`, by currency too, is what credits under revert will take: their withdrawal
    cannot be refused any more, so no decision may count on that room. `own_currencies` are those in which something was
    released while they were the project's. `alert_threshold` is in percent of the bookings.
    Never changed: a release gives a new one (`after_release`).
    """

    project_id: str
    currency: str
    bookings: Decimal
    apply_billing_cap: bool
    auto_cap_billing: bool
    bill_to_budget_cap: bool = False
    on_hold: bool = False
    alert_threshold: Decimal | None = None
    alert_recipient: str | None = None
    released: Mapping[str, Decimal] = field(default_factory=dict)
    budgets: Mapping[str, BudgetCap] = field(default_factory=dict)
    reserved: Mapping[str, Decimal] = field(default_factory=dict)
    own_currencies: frozenset[str] = frozenset()

    @property
    def tracked(self) -> bool:
        """Whether the threshold alert is on."""
        return self.apply_billing_cap

    @property
    def enforced(self) -> bool:
        """Whether the project's cap may refuse: both flags; `auto_cap_billing` alone enforces nothing."""
        return self.apply_billing_cap and self.auto_cap_billing

    @property
    def has_capped_budget(self) -> bool:
        """Whether any of the project's budgets is capped, used or not."""
        return any(budget.capped for budget in self.budgets.values())

    @property
    def capped_at_both_levels(self) -> bool:
        """Whether the project's own cap is enforced and budgets of it are capped, which is a configuration error."""
        return self.enforced and self.has_capped_budget

    @property
    def former_currencies(self) -> tuple[str, ...]:
        """Former currencies of the project in which more than 0 stands released under an enforced cap.

        A cap never begins anew: until that is reverted or the currency is set back, it is a configuration error.
        """
        former = set(_former(self, self.currency) if self.enforced else ())
        for budget in self.budgets.values():
            if budget.capped:
                former |= _former(budget, self.currency)
        return tuple(sorted(former))

    @property
    def conflict(self) -> bool:
        """Whether the caps are wrongly configured: nothing of more than 0 is released."""
        return self.capped_at_both_levels or bool(self.former_currencies)

    @property
    def remaining(self) -> Decimal:
        """Bookings less what is released in the project's currency; negative where bookings were lowered."""
        return self.bookings - self.released_in(self.currency)

    @property
    def reserved_amount(self) -> Decimal:
        """What credits under revert will take of the remaining, in the project's currency."""
        return self.reserved.get(self.currency, ZERO)

    @property
    def room(self) -> Decimal:
        """What a decision may use: the remaining less what is reserved."""
        return self.remaining - self.reserved_amount

    def released_in(self, currency: str) -> Decimal:
        """The released total of the project in this currency."""
        return self.released.get(currency, ZERO)

    def after_release(
        self, currency: str, amount: Decimal, amount_by_budget: Mapping[str, Decimal]
    ) -> "ProjectCap":
        """The state once this much more is released, in all and on budgets; negative amounts give the cap back."""
        budgets = self.budgets
        if amount_by_budget:
            changed = dict(budgets)
            for budget_id, budget_amount in amount_by_budget.items():
                budget = changed[budget_id]
                total = budget.released_in(currency) + budget_amount
                changed[budget_id] = replace(budget, released={**budget.released, currency: total})
            budgets = changed
        total = self.released_in(currency) + amount
        return replace(self, released={**self.released, currency: total}, budgets=budgets)


def _former(cap: BudgetCap | ProjectCap, currency: str) -> set[str]:
    """The other currencies that were the project's own while something was released that still stands."""
    return {each for each in cap.own_currencies if each != currency and cap.released_in(each) > ZERO}
