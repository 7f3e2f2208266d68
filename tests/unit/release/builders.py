"""Makes billing events, caps and requests with as little said as a test needs."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from release.domain.billed import Billed
from release.domain.cap_state import BudgetCap, ProjectCap
from release.domain.events import BillingEvent, BillingEventItem
from release.domain.release import Outcome, decide_release
from release.domain.settings import Channel, OnCap, ReleaseRequest, ReleaseSettings
from release.domain.tolerance import Tolerance

VECTORS = Path(__file__).parents[2] / "vectors"
MORNING = datetime(2026, 11, 20, 9, tzinfo=UTC)
SETTINGS = ReleaseSettings(support_contact="support@example.com")
CONFIRMED = ReleaseRequest(Channel.QUICK, OnCap.SPLIT)
ASKED = ReleaseRequest(Channel.QUICK, OnCap.REFUSE)
JOB = ReleaseRequest(Channel.JOB)


def vector_cases(name: str) -> list[Any]:
    """The cases of a vector file, each as a pytest parameter set named after it."""
    cases: list[Any] = json.loads((VECTORS / f"{name}.json").read_text())["cases"]
    assert cases
    return cases


def make_item(
    item_id: str, amount: str | Decimal, budget_id: str | None = None, **given: Any
) -> BillingEventItem:
    """An item like a timecard with a product; its number, if its id ends in one, sets its second of creation."""
    number = int("".join(filter(str.isdigit, item_id)) or 0)
    defaults: dict[str, Any] = {
        "created_at": MORNING + timedelta(seconds=number),
        "category": "timecard",
        "business_record_id": f"T-{item_id}",
        "business_record_version": 1,
        "description": f"Work {item_id}",
        "quantity": Decimal(1),
        "unit_price": Decimal(amount),
        "services_product": "Consulting",
        "accounting_line_description": f"Work {item_id}",
    }
    return BillingEventItem(
        item_id=item_id, amount=Decimal(amount), budget_id=budget_id, **{**defaults, **given}
    )


def make_event(*items: BillingEventItem, billing_event_id: str = "BE-1", **given: Any) -> BillingEvent:
    """An event of project P-1 in GBP that lacks nothing."""
    defaults: dict[str, Any] = {
        "version": 1,
        "project_id": "P-1",
        "date": date(2026, 11, 20),
        "currency": "GBP",
        "batch_id": "BB-1",
        "account_id": "A-1",
        "company_id": "C-UK",
        "billing_event_currency": "GBP",
    }
    return BillingEvent(billing_event_id=billing_event_id, items=items, **{**defaults, **given})


def make_budget(
    budget_id: str,
    amount: str,
    released: str = "0",
    *,
    tolerance: str = "0",
    capped: bool = True,
    currency: str = "GBP",
) -> BudgetCap:
    """A budget, capped unless said otherwise."""
    return BudgetCap(
        budget_id, Decimal(amount), capped, {currency: Decimal(released)}, Tolerance(Decimal(tolerance))
    )


def make_cap(
    bookings: str = "10000", released: str = "9700", *budgets: BudgetCap, enforced: bool = True, **given: Any
) -> ProjectCap:
    """Project P-1 in GBP, enforced unless said otherwise (then neither flag is set)."""
    defaults: dict[str, Any] = {
        "project_id": "P-1",
        "currency": "GBP",
        "apply_billing_cap": enforced,
        "auto_cap_billing": enforced,
        "budgets": {budget.budget_id: budget for budget in budgets},
    }
    settings = {**defaults, **given}
    return ProjectCap(
        bookings=Decimal(bookings), released={settings["currency"]: Decimal(released)}, **settings
    )


def decide(
    event: BillingEvent,
    cap: ProjectCap | None,
    request: ReleaseRequest = CONFIRMED,
    settings: ReleaseSettings = SETTINGS,
    *,
    billed: Billed | None = None,
    record_versions: Mapping[Any, int] | None = None,
    taken_ids: Iterable[str] = (),
) -> Outcome:
    """Decide one release, with nothing billed, no business record newer than its item and no id taken unless said."""
    return decide_release(
        event,
        cap,
        request,
        settings,
        billed=billed or Billed(),
        record_versions=record_versions or {},
        taken_ids=set(taken_ids),
    )
