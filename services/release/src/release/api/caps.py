"""The caps of a project and their ledger (contract.md section 2)."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import JsonValue

from release.api.billing_events import MayRead
from release.domain.cap_state import ProjectCap
from release.facts import format_instant
from release.store.caps import load_caps
from release.store.ledger import load_ledger
from shared.contracts.base import Id
from shared.database.database import Database
from shared.http.pages import Page, PageRequest, page_response, pages_by
from shared.http.problems import not_found
from shared.money import format_amount, format_number

ProjectId = Annotated[Id, Path(description="the project's id")]

_CAP: dict[int | str, dict[str, Any]] = {200: {"model": dict[str, JsonValue]}}
_PAGE: dict[int | str, dict[str, Any]] = {200: {"model": Page[dict[str, JsonValue]]}}


def caps_router(database: Database) -> APIRouter:
    """The calls that show caps."""
    router = APIRouter(tags=["caps"])

    @router.get("/projects/{project_id}/cap", response_model=None, responses=_CAP)
    async def get_project_cap(project_id: ProjectId, principal: MayRead) -> dict[str, Any]:
        """What the project and its budgets may bill, have billed, and may still bill."""
        return cap_body(await _load(database, project_id))

    @router.get("/projects/{project_id}/cap/ledger", response_model=None, responses=_PAGE)
    async def get_cap_ledger(
        project_id: ProjectId,
        principal: MayRead,
        page: Annotated[PageRequest, pages_by(int)],
        billing_event_id: Annotated[Id | None, Query()] = None,
    ) -> dict[str, Any]:
        """What was released on the project and its budgets, or given back, the oldest first, each with its decision."""
        await _load(database, project_id)
        after = page.after[0] if page.after is not None else None
        rows = await load_ledger(
            database.pool,
            project_id,
            billing_event_id=billing_event_id,
            after_entry_id=after if isinstance(after, int) else None,
            rows_max=page.limit + 1,
        )
        shown, next_cursor = page.cut(rows, lambda row: (row["entry_id"],))
        return page_response([_entry(row) for row in shown], next_cursor)

    return router


async def _load(database: Database, project_id: str) -> ProjectCap:
    caps = await load_caps(database.pool, [project_id])
    if project_id not in caps:
        raise not_found(f"There is no project {project_id}.")
    return caps[project_id]


def cap_body(cap: ProjectCap) -> dict[str, Any]:
    """A project's caps; amounts in the project's currency, but for what was released in others."""
    currency = cap.currency
    budgets = []
    for budget in cap.budgets.values():
        released = budget.released_in(currency)
        budgets.append(
            {
                "budget_id": budget.budget_id,
                "amount": format_amount(budget.amount, currency),
                "enforced": budget.apply_billing_cap,
                "tolerance": format_amount(budget.tolerance.amount, currency),
                "tolerance_note": budget.tolerance.note,
                "released": format_amount(released, currency),
                "remaining": format_amount(budget.amount - released, currency),
            }
        )
    threshold = cap.alert_threshold
    return {
        "project_id": cap.project_id,
        "currency": currency,
        "tracked": cap.tracked,
        "enforced": cap.enforced,
        "conflict": cap.conflict,
        "bill_to_budget_cap": cap.bill_to_budget_cap,
        "on_hold": cap.on_hold,
        "bookings": format_amount(cap.bookings, currency),
        "released": format_amount(cap.released_in(currency), currency),
        "released_by_currency": {
            each: format_amount(amount, each) for each, amount in sorted(cap.released.items())
        },
        "remaining": format_amount(cap.remaining, currency),
        "alert_threshold": None if threshold is None else format_number(threshold),
        "alert_recipient": cap.alert_recipient,
        "budgets": budgets,
    }


def _entry(row: Any) -> dict[str, Any]:
    currency = row["currency"]
    return {
        "entry_id": row["entry_id"],
        "time": format_instant(row["recorded_at"]),
        "act": row["act"],
        "billing_event_id": row["billing_event_id"],
        "budget_id": row["budget_id"],
        "amount": format_amount(row["amount"], currency),
        "currency": currency,
        "released_after": format_amount(row["released_after"], currency),
        "decision": row["decision"],
    }
