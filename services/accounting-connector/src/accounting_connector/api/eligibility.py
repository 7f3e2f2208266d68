"""Whether a billing event can become a document, and whether the books balance."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from accounting_connector.api.answers import Eligibility, Reconciliation, json_response
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.eligibility import eligibility_of
from accounting_connector.handlers.reconciliation import reconcile
from shared.contracts.base import Id
from shared.database.database import Database
from shared.http.authorization import require
from shared.http.problems import not_found


def eligibility_router(database: Database, deployment: Deployment) -> APIRouter:
    """The calls that check and change nothing."""
    router = APIRouter(tags=["checks"], dependencies=[require("documents:read")])

    @router.get("/billing-events/{billing_event_id}/eligibility", response_model=Eligibility)
    async def get_eligibility(billing_event_id: Annotated[Id, Path()]) -> Response:
        """All that speaks against a document of this event, as of now."""
        body = await eligibility_of(database.pool, deployment, billing_event_id)
        if body is None:
            raise not_found()
        return json_response(body)

    @router.get("/reconciliation", response_model=Reconciliation)
    async def get_reconciliation() -> Response:
        """Check the connector's books; what does not balance is also told to the operators."""
        return json_response(await reconcile(database))

    return router
