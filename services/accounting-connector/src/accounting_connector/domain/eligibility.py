"""Which billing events may become documents (domain.md section 4, "Eligible")."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from accounting_connector.domain.billing_events import (
    BillingEvent,
    BillingEventItem,
    Stage,
    event_fields,
    item_fields,
    summary_amount,
)
from accounting_connector.domain.companies import Company, Criterion, Party
from accounting_connector.domain.corrections import Original
from accounting_connector.domain.reasons import Reason
from shared.expressions import ExpressionError

MAX_LINES: Final = 1000
PAYMENT_DAYS: Final = 30


class ZeroAmountPolicy(StrEnum):
    """What becomes of an event that sums to zero (setting `ZERO_AMOUNT_POLICY`)."""

    REFUSE = "refuse"
    INVOICE = "invoice"


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms documents are asked for: the deployment's settings, and who asks."""

    max_lines: int = MAX_LINES
    zero_amount_policy: ZeroAmountPolicy = ZeroAmountPolicy.REFUSE
    payment_days: int = PAYMENT_DAYS
    """Where the company sets none."""
    asked_by_run: str | None = None
    """The billing run that asks: its own claim does not stand in its way."""
    waive_released: bool = False
    """Release and invoice asks before stage 1 has released."""
    permitted_projects: frozenset[str] | None = None
    """The projects whose events whoever asks may change; None: all."""
    support_contact: str = "your administrator"
    """Whom to ask for rights."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A billing event with what is known around it when a document is asked for."""

    event: BillingEvent
    account: Party | None
    """The event's account; None: not set, or not known (yet)."""
    company: Company | None
    """The event's company; None: not set, or not known (yet)."""
    claimed_by_run: str | None = None
    live_document_id: str | None = None
    """The event's one live document, draft or validated, if there is one."""
    original: Original | None = None
    """The validated document of the event that this one corrects; None: it names none, or there is none."""


@dataclass(frozen=True, slots=True)
class LeftOutItem:
    """An item that an item criterion keeps out of its event's document; amounts as the event has them."""

    billing_event_id: str
    item_id: str
    business_record_id: str | None
    amount: Decimal
    criterion: str
    """The first of the company's item criteria that the item does not meet, as it is written."""


@dataclass(frozen=True, slots=True)
class Eligibility:
    """All failing criteria in the order of section 4 (none: eligible), and which items would be lines."""

    reasons: tuple[Reason, ...]
    eligible_items: tuple[BillingEventItem, ...]
    left_out_items: tuple[LeftOutItem, ...]


def check_eligibility(candidate: Candidate, terms: Terms) -> Eligibility:
    """Every criterion of domain.md section 4, each failing one reported by code.

    An item criterion that cannot be evaluated refuses the event (`criteria_not_met`): its item is never
    silently left out of a document.
    """
    event = candidate.event
    criteria = candidate.company.settings.item_criteria if candidate.company else ()
    eligible, left_out, undecided = _sort_items(event, criteria)
    reasons = [
        *_right_reasons(event, terms),
        *_stage_reasons(candidate, terms),
        *_product_reasons(event),
        *_criteria_reasons(candidate, eligible, undecided),
        *_amount_reasons(candidate, terms, len(eligible)),
    ]
    return Eligibility(tuple(reasons), eligible, left_out)


def not_permitted(what: str, project_id: str | None, support_contact: str) -> Reason:
    """The token's projects do not list the event's: nothing of it may be changed."""
    return Reason(
        "not_permitted",
        f"You may not {what} billing events of project {project_id}; please ask {support_contact}.",
        {"project_id": project_id, "support_contact": support_contact},
    )


def custom_field_name(path: str) -> str:
    """The name of a custom field that settings name, with or without `fields.` before it."""
    return path.removeprefix("fields.")


def is_flag_set(value: object) -> bool:
    """Whether a custom field says yes: true, or the text "true"."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def wants_auto_pass(event: BillingEvent, auto_pass_field: str | None) -> bool:
    """Whether the event is passed by itself as soon as it is eligible (domain.md section 4, "Ways in").

    By its own flag, or instead of it by the custom field that its company names.
    """
    if auto_pass_field is None:
        return event.auto_pass_to_accounting
    return is_flag_set(event.fields.get(custom_field_name(auto_pass_field)))


def _right_reasons(event: BillingEvent, terms: Terms) -> Iterator[Reason]:
    if terms.permitted_projects is not None and event.project_id not in terms.permitted_projects:
        yield not_permitted("invoice", event.project_id, terms.support_contact)


def _stage_reasons(candidate: Candidate, terms: Terms) -> Iterator[Reason]:
    event = candidate.event
    if event.stage not in {Stage.RELEASED, Stage.INVOICED, Stage.CLOSED} and not terms.waive_released:
        yield Reason(
            "not_released", f"The billing event is {event.stage.value}", {"stage": event.stage.value}
        )
    if candidate.account is None:
        yield _missing("account", event.account_id)
    if candidate.company is None:
        yield _missing("company", event.company_id)
    if event.billing_event_currency is None:
        yield _missing("currency", None)
    if event.stage is Stage.INVOICED:
        document_id = candidate.live_document_id
        detail = {} if document_id is None else {"document_id": document_id}
        yield Reason("already_invoiced", "The billing event has a document already", detail)
    if candidate.claimed_by_run not in {None, terms.asked_by_run}:
        yield Reason(
            "claimed_by_run",
            f"Billing run {candidate.claimed_by_run} has claimed the billing event",
            {"billing_run_id": candidate.claimed_by_run},
        )
    if event.stage is Stage.CLOSED:
        yield Reason("closed", "The billing event was cancelled for good in a billing run")


def _missing(field: str, unknown_id: str | None) -> Reason:
    if unknown_id is None:
        return Reason(f"{field}_missing", f"The billing event has no {field}")
    return Reason(f"{field}_missing", f"The {field} {unknown_id} is not known", {f"{field}_id": unknown_id})


def _product_reasons(event: BillingEvent) -> Iterator[Reason]:
    without = [item.item_id for item in event.items if item.services_product is None]
    if without:
        message = f"{len(without)} of {len(event.items)} items have no services product"
        yield Reason("services_product_missing", message, {"items": without})


def _sort_items(
    event: BillingEvent, criteria: Sequence[Criterion]
) -> tuple[tuple[BillingEventItem, ...], tuple[LeftOutItem, ...], dict[str, str]]:
    """Eligible items, left-out ones, and those that cannot be decided with the reason why, by item id."""
    if not criteria:
        return event.items, (), {}
    eligible: list[BillingEventItem] = []
    left_out: list[LeftOutItem] = []
    undecided: dict[str, str] = {}
    for item in event.items:
        fields = item_fields(item)
        try:
            failing = next((criterion for criterion in criteria if not criterion.holds(fields)), None)
        except ExpressionError as error:
            undecided[item.item_id] = str(error)
            continue
        if failing is None:
            eligible.append(item)
            continue
        left_out.append(
            LeftOutItem(
                event.billing_event_id,
                item.item_id,
                item.business_record_id,
                item.amount,
                failing.expression,
            )
        )
    return tuple(eligible), tuple(left_out), undecided


def _criteria_reasons(
    candidate: Candidate, eligible: Sequence[BillingEventItem], undecided: Mapping[str, str]
) -> Iterator[Reason]:
    if not eligible and not undecided:
        yield Reason("no_eligible_item", "None of its items is eligible")
    failing: list[str] = []
    problems: list[str] = []
    criteria = candidate.company.settings.event_criteria if candidate.company else ()
    fields = event_fields(candidate.event) if criteria else {}
    for criterion in criteria:
        try:
            if not criterion.holds(fields):
                failing.append(criterion.expression)
        except ExpressionError as error:
            problems.append(str(error))
    problems.extend(dict.fromkeys(undecided.values()))
    if failing or problems:
        message = "; ".join([*(f"Not met: {expression}" for expression in failing), *problems])
        yield Reason(
            "criteria_not_met", message, {"criteria": failing, "problems": problems, "items": list(undecided)}
        )


def _amount_reasons(candidate: Candidate, terms: Terms, line_count: int) -> Iterator[Reason]:
    event = candidate.event
    if terms.zero_amount_policy is ZeroAmountPolicy.REFUSE and not summary_amount(event):
        yield Reason("zero_amount", "The billing event sums to zero")
    if event.billing_event_currency not in {None, event.currency}:
        yield Reason(
            "currency_mismatch",
            f"The event is in {event.currency}, its accounting currency is {event.billing_event_currency}",
            {"currency": event.currency, "billing_event_currency": event.billing_event_currency},
        )
    if line_count > terms.max_lines:
        yield Reason(
            "line_limit",
            f"The document would have {line_count} lines; at most {terms.max_lines} are allowed",
            {"lines": line_count, "max_lines": terms.max_lines},
        )
    if candidate.company is not None and candidate.company.settings.documents_elsewhere:
        yield Reason("other_integration_active", "Another integration makes this company's documents")
