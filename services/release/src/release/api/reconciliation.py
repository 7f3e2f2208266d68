"""The reconciliation that users can run at any time (domain.md section 6)."""

from typing import Any

from fastapi import APIRouter
from pydantic import JsonValue

from release.api.billing_events import MayRead
from release.handlers.reconciliation import check_body, reconcile
from shared.database.database import Database

_RECONCILIATION: dict[int | str, dict[str, Any]] = {200: {"model": dict[str, JsonValue]}}


def reconciliation_router(database: Database) -> APIRouter:
    """The call that reconciles."""
    router = APIRouter(tags=["reconciliation"])

    @router.get("/reconciliation", response_model=None, responses=_RECONCILIATION)
    async def get_reconciliation(principal: MayRead) -> dict[str, Any]:
        """Whether the books of the release service balance, check by check, with the first differences of each."""
        checks = [check_body(check) for check in await reconcile(database)]
        return {"balanced": all(check["balanced"] for check in checks), "checks": checks}

    return router
