"""What is refused before the caps are asked, in the order of domain.md section 2."""

from collections.abc import Mapping

from release.domain.cap_state import ProjectCap
from release.domain.completion import missing_fields
from release.domain.events import BillingEvent, RecordKey
from release.domain.reasons import Reason, out_of_reach, too_large
from release.domain.recalculation import items_out_of_sync
from release.domain.settings import ReleaseRequest, ReleaseSettings
from release.domain.stages import Stage

_NAMES: Mapping[str, str] = {
    "account": "account",
    "company": "company",
    "currency": "billing event currency",
    "services_product": "services product on all items",
}


def refusal_by_stage(event: BillingEvent, request: ReleaseRequest) -> Reason | None:
    """The one reason that an event's stage gives and that speaks alone, if any.

    An event queued for the very job that asks is not `queued`.
    """
    if event.stage is Stage.AWAITING_RELEASE:
        return None
    if event.stage is Stage.INCOMPLETE:
        return incomplete(event)
    if event.stage is not Stage.QUEUED:
        return out_of_reach(event.billing_event_id, event.stage)
    if event.queued_by is not None and event.queued_by == request.job_id:
        return None
    return Reason(
        "queued",
        f"Billing event {event.billing_event_id} is queued for another release job.",
        {"job_id": event.queued_by},
    )


def has_all_budgets(event: BillingEvent, cap: ProjectCap) -> bool:
    """Whether the project still has every budget that an item names; without one the event is incomplete again."""
    for item in event.items:
        if item.budget_id is not None:
            budget = cap.budgets.get(item.budget_id)
            if budget is None or budget.removed:
                return False
    return True


def refusals_before_guards(
    event: BillingEvent,
    cap: ProjectCap,
    request: ReleaseRequest,
    settings: ReleaseSettings,
    record_versions: Mapping[RecordKey, int],
) -> tuple[Reason, ...]:
    """The reasons that come before those of what is billed already: on_hold, not_permitted, out_of_sync,
    category_mismatch.
    """
    reasons = []
    if event.on_hold or cap.on_hold:
        reasons.append(_on_hold(event, cap))
    if request.permitted_projects is not None and event.project_id not in request.permitted_projects:
        reasons.append(not_permitted(event.project_id, settings.support_contact))
    behind = items_out_of_sync(event.items, record_versions)
    if behind:
        item_ids = [item.item_id for item in behind]
        reasons.append(
            Reason(
                "out_of_sync",
                f"Business records have changed since items {', '.join(item_ids)} were made; "
                "recalculate the billing event.",
                {"item_ids": item_ids},
            )
        )
    if event.is_too_large:
        reasons.append(too_large(event.billing_event_id))
    if mismatched := event.mismatched_item_ids:
        reasons.append(_category_mismatch(mismatched))
    return tuple(reasons)


def refusals_by_fields(event: BillingEvent, settings: ReleaseSettings) -> tuple[Reason, ...]:
    """The required fields that are missing."""
    return tuple(
        _missing(event, name) for name in missing_fields(event) if name not in settings.optional_on_release
    )


def not_permitted(project_id: str, support_contact: str) -> Reason:
    """The token's projects do not list the event's: nothing of it may be changed."""
    return Reason(
        "not_permitted",
        f"You may not release or change billing events of project {project_id}; please ask {support_contact}.",
        {"project_id": project_id, "support_contact": support_contact},
    )


def incomplete(event: BillingEvent) -> Reason:
    """The event waits for something that is not known (yet, or any more)."""
    return Reason(
        "incomplete",
        f"Billing event {event.billing_event_id} waits for its project or for business records.",
        {"stage": event.stage.value},
    )


def _on_hold(event: BillingEvent, cap: ProjectCap) -> Reason:
    held = f"Billing event {event.billing_event_id}" if event.on_hold else f"Project {cap.project_id}"
    return Reason("on_hold", f"{held} is on hold.", {"billing_event": event.on_hold, "project": cap.on_hold})


def _category_mismatch(item_ids: list[str]) -> Reason:
    return Reason(
        "category_mismatch",
        f"The category of items {', '.join(item_ids)} is not the kind of their business records; "
        "a later version of the billing event or of the records mends it.",
        {"item_ids": item_ids},
    )


def _missing(event: BillingEvent, name: str) -> Reason:
    detail: dict[str, object] = {}
    if name == "services_product":
        detail["item_ids"] = [item.item_id for item in event.items if item.services_product is None]
    return Reason(f"{name}_missing", f"Billing event {event.billing_event_id} has no {_NAMES[name]}.", detail)
