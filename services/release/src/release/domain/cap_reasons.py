"""The reasons that a cap gives against a release (domain.md section 3)."""

from collections.abc import Iterable
from decimal import Decimal

from release.domain.cap_state import ProjectCap
from release.domain.explanation import BudgetDecision
from release.domain.reasons import Reason, show
from shared.money import format_amount


def configuration_conflict(cap: ProjectCap) -> Reason:
    """The project is capped at both levels, or its cap would begin anew in another currency."""
    sentences = []
    detail: dict[str, object] = {"project_id": cap.project_id, "budget_ids": capped_budget_ids(cap)}
    if cap.capped_at_both_levels:
        sentences.append(
            f"Project {cap.project_id} enforces its own cap and has capped budgets "
            f"({', '.join(capped_budget_ids(cap))}): only one of the two levels may be capped."
        )
    if cap.former_currencies:
        detail["former_currencies"] = list(cap.former_currencies)
        sentences.append(
            f"The cap of project {cap.project_id} is in {cap.currency}, but what was released in "
            f"{', '.join(cap.former_currencies)}, its former currency, still stands: revert that, or set the "
            "currency back."
        )
    return Reason("cap_configuration_conflict", " ".join(sentences), detail)


def capped_budget_ids(cap: ProjectCap) -> list[str]:
    """The capped budgets where the project is capped at both levels; else none."""
    if not cap.capped_at_both_levels:
        return []
    return sorted(budget.budget_id for budget in cap.budgets.values() if budget.capped)


def currency_mismatch(cap: ProjectCap, currency: str) -> Reason:
    """The event's currency is not that of the cap."""
    return Reason(
        "cap_currency_mismatch",
        f"The billing event is in {currency}, but the cap of project {cap.project_id} is in {cap.currency}.",
        {"currency": currency, "project_currency": cap.currency},
    )


def over_project(code: str, cap: ProjectCap, summary_amount: Decimal) -> Reason:
    """The event is more than what remains of the bookings; the code says what follows from it."""
    consequence = {
        "cap_exceeded": "",
        "split_required": " It can be split and released.",
        "no_item_fits": " None of its items can be billed within it.",
        "too_many_items_to_split": " It has too many items to be split.",
    }[code]
    currency = cap.currency
    reserved = cap.reserved_amount
    kept_free = f", {show(reserved, currency)} kept free for credits under revert" if reserved else ""
    return Reason(
        code,
        f"{show(summary_amount, currency)} is more than the {show(cap.room, currency)} that remain of the "
        f"bookings of {show(cap.bookings, currency)}{kept_free}.{consequence}",
        {
            "level": "project",
            "currency": currency,
            "summary_amount": format_amount(summary_amount, currency),
            "bookings": format_amount(cap.bookings, currency),
            "released": format_amount(cap.released_in(currency), currency),
            "remaining": format_amount(cap.remaining, currency),
            **({"reserved": format_amount(reserved, currency)} if reserved else {}),
        },
    )


def over_budgets(code: str, budgets: Iterable[BudgetDecision], currency: str) -> Reason:
    """The event passes these budgets; the code says what follows from it."""
    consequence = {
        "budget_cap_exceeded": "",
        "split_required": " It can be split and released up to the budget.",
        "budget_fully_released": " Nothing is left to bill.",
    }[code]
    over = [budget for budget in budgets if budget.over]
    sentences = [
        f"{show(budget.asked, currency)} passes budget {budget.budget_id} of {show(budget.amount, currency)}, "
        f"of which {show(budget.released_before, currency)} is released."
        for budget in over
    ]
    details = [
        {
            "budget_id": budget.budget_id,
            "amount": format_amount(budget.amount, currency),
            "tolerance": format_amount(budget.tolerance.amount, currency),
            "released": format_amount(budget.released_before, currency),
            "asked": format_amount(budget.asked, currency),
        }
        for budget in over
    ]
    return Reason(
        code, " ".join(sentences) + consequence, {"level": "budget", "currency": currency, "budgets": details}
    )
