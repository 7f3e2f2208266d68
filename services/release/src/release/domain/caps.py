"""The decision of both caps about one event: whole, split, or refused, and why (domain.md section 3)."""

from dataclasses import dataclass

from release.domain import cap_reasons
from release.domain.budget_cap import divide_to_budgets, is_fully_released
from release.domain.cap_case import CapCase
from release.domain.cap_state import ProjectCap
from release.domain.division import Division
from release.domain.events import BillingEvent
from release.domain.explanation import Decision, Rule
from release.domain.project_cap import divide_first_fit, no_item_fits
from release.domain.reasons import Reason
from release.domain.settings import Channel, OnCap, ReleaseRequest, ReleaseSettings, becomes_job
from shared.money import ZERO


@dataclass(frozen=True, slots=True)
class Whole:
    """Nothing stands against the event: it is released as it is."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Divided:
    """The event is split, and released by this division."""

    decision: Decision
    division: Division


@dataclass(frozen=True, slots=True)
class Stopped:
    """A cap refuses; `offer` is the split that would be made if it were confirmed (`split_required` only).

    Beside other reasons, no cap need stand against the event: then `reasons` is empty.
    """

    decision: Decision
    reasons: tuple[Reason, ...]
    offer: Divided | None = None


CapVerdict = Whole | Divided | Stopped


def decide_caps(
    event: BillingEvent,
    cap: ProjectCap,
    request: ReleaseRequest,
    settings: ReleaseSettings,
    *,
    beside_other_reasons: bool = False,
) -> CapVerdict:
    """Decide one event against its project's cap and its budgets' (domain.md section 3).

    Beside other reasons, a cap that stands against the event speaks as `cap_exceeded` or `budget_cap_exceeded`, and
    nothing is split or offered; a configuration conflict is such a reason too. Reasons are in the order conflict,
    currency, project, budget. Every budget that an item names must be one of the cap's.
    """
    case = CapCase.of(event, cap)
    conflict: tuple[Reason, ...] = ()
    if case.summary_amount > ZERO and cap.conflict:
        conflict = (cap_reasons.configuration_conflict(cap),)
    if event.currency != cap.currency and (cap.enforced or cap.has_capped_budget):
        mismatch = cap_reasons.currency_mismatch(cap, event.currency)
        return Stopped(case.refused(Rule.CURRENCY_MISMATCH), (*conflict, mismatch))
    if conflict:
        return Stopped(case.refused(Rule.CONFIGURATION_CONFLICT), (*conflict, *_plain_reasons(case)))
    if beside_other_reasons:
        return Stopped(case.refused(Rule.OTHER_REASONS), _plain_reasons(case))
    if case.over_project:
        return _decide_over_project(case, request, settings)
    if case.over:
        return _decide_over_budgets(case, request, settings)
    return Whole(case.whole())


def _plain_reasons(case: CapCase) -> tuple[Reason, ...]:
    reasons = []
    if case.over_project:
        reasons.append(cap_reasons.over_project("cap_exceeded", case.cap, case.summary_amount))
    if case.over:
        reasons.append(_over_budgets("budget_cap_exceeded", case))
    return tuple(reasons)


def _decide_over_project(case: CapCase, request: ReleaseRequest, settings: ReleaseSettings) -> CapVerdict:
    """Over the project's cap: refused, offered, or split by first fit (section 3, rules 1 to 3)."""

    def refused(code: str, rule: Rule) -> Stopped:
        return Stopped(case.refused(rule), (cap_reasons.over_project(code, case.cap, case.summary_amount),))

    if settings.disable_billing_closer_to_cap:
        return refused("cap_exceeded", Rule.CLOSER_TO_CAP_DISABLED)
    if request.channel is Channel.JOB:
        return refused("cap_exceeded", Rule.JOB_DOES_NOT_SPLIT)
    if becomes_job(len(case.event.items), settings):
        return refused("too_many_items_to_split", Rule.TOO_MANY_ITEMS)
    division = divide_first_fit(case.event.items, case.cap.room)
    explained = case.refused(Rule.FIRST_FIT, division.decisions)
    if no_item_fits(division):
        return Stopped(explained, (cap_reasons.over_project("no_item_fits", case.cap, case.summary_amount),))
    split = Divided(case.divided(Rule.FIRST_FIT, division), division)
    if request.on_cap is OnCap.SPLIT:
        return split
    required = cap_reasons.over_project("split_required", case.cap, case.summary_amount)
    return Stopped(explained, (required,), offer=split)


def _decide_over_budgets(case: CapCase, request: ReleaseRequest, settings: ReleaseSettings) -> CapVerdict:
    """Over budgets: refused, offered, or billed to their full amount; what became a job gets the job's verdict."""

    def refused(code: str, rule: Rule) -> Stopped:
        return Stopped(case.refused(rule), (_over_budgets(code, case),))

    as_job = request.channel is Channel.JOB or becomes_job(len(case.event.items), settings)
    if settings.disable_billing_closer_to_cap:
        return refused("budget_cap_exceeded", Rule.CLOSER_TO_CAP_DISABLED)
    if as_job and not case.cap.bill_to_budget_cap:
        return refused("budget_cap_exceeded", Rule.JOB_DOES_NOT_SPLIT)
    division = divide_to_budgets(case.event.items, case.over, case.event.currency)
    explained = case.refused(Rule.BILL_TO_BUDGET_CAP, division.decisions)
    if is_fully_released(division, case.summary_amount):
        return Stopped(explained, (_over_budgets("budget_fully_released", case),))
    split = Divided(case.divided(Rule.BILL_TO_BUDGET_CAP, division), division)
    if as_job or request.on_cap is OnCap.SPLIT:
        return split
    return Stopped(explained, (_over_budgets("split_required", case),), offer=split)


def _over_budgets(code: str, case: CapCase) -> Reason:
    return cap_reasons.over_budgets(code, case.budget_decisions({}), case.event.currency)
