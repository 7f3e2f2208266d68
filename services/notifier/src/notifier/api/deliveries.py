"""Mails: what became of them, and sending one again."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from notifier.api.bodies import DeliveryBody, delivery_body
from notifier.domain.retries import DeliveryStatus
from notifier.handlers.resending import NotFailedError, resend
from notifier.store.deliveries import load_deliveries
from shared.contracts.base import Id
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.http.authorization import require
from shared.http.idempotency import Answer, answer_once
from shared.http.pages import Page, PageRequest, page_response, pages_by
from shared.http.problems import Problem, not_found
from shared.http.tokens import Principal


def deliveries_router(database: Database) -> APIRouter:
    """The calls about mails, whoever they are for."""
    router = APIRouter(tags=["deliveries"])

    @router.get("/deliveries", response_model=Page[DeliveryBody], dependencies=[require("alerts:read")])
    async def list_deliveries(
        page: Annotated[PageRequest, pages_by(datetime, str)],
        status: Annotated[DeliveryStatus | None, Query()] = None,
    ) -> dict[str, Any]:
        """Mails, the newest first."""
        rows = await load_deliveries(
            database.pool,
            status=status,
            before=page.after,  # type: ignore[arg-type]
            rows_max=page.limit + 1,
        )
        shown, next_cursor = page.cut(rows, lambda delivery: (delivery.created_at, delivery.delivery_id))
        return page_response([delivery_body(delivery) for delivery in shown], next_cursor)

    @router.post("/deliveries/{delivery_id}/resend", status_code=202, response_model=DeliveryBody)
    async def resend_delivery(
        request: Request,
        principal: Annotated[Principal, require("alerts:write")],
        delivery_id: Annotated[Id, Path(description="the delivery's id")],
    ) -> Response:
        """Send a mail that has failed again, with all its attempts anew."""

        async def act(work: UnitOfWork) -> Answer:
            try:
                delivery = await resend(work, delivery_id)
            except NotFailedError as error:
                raise Problem(
                    409, "action_not_available", "The delivery does not allow this", detail=str(error)
                ) from None
            if delivery is None:
                raise not_found(f"There is no delivery {delivery_id}.")
            return Answer(202, DeliveryBody.model_validate(delivery_body(delivery)).model_dump(mode="json"))

        return await answer_once(database, request, principal, act)

    return router
