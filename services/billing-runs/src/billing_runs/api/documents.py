"""A run's documents over HTTP, and their review (contract.md section 2)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from billing_runs.api.reading import read_run, starter_of_principal, unknown_run
from billing_runs.api.shapes import document_shape
from billing_runs.handlers.review import review_documents
from billing_runs.store import document_lists
from shared.contracts.base import CurrencyCode, Date, Id, Name
from shared.contracts.decimals import Amount
from shared.contracts.requests import ReviewRequest
from shared.contracts.selections import DocumentFilter, DocumentKind, Review
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.http.application import LARGE_BODY_BYTES_MAX
from shared.http.authorization import require
from shared.http.idempotency import Answer, answer_once
from shared.http.pages import PageRequest, page_response, pages_by
from shared.http.tokens import Principal
from shared.ids import new_id

Reads = Annotated[Principal, require("billing-runs:read")]
Approves = Annotated[Principal, require("billing-runs:approve")]


async def document_filter(
    *,
    review: Annotated[Review | None, Query()] = None,
    kind: Annotated[DocumentKind | None, Query()] = None,
    account_id: Annotated[Id | None, Query()] = None,
    company_id: Annotated[Id | None, Query()] = None,
    currency: Annotated[CurrencyCode | None, Query()] = None,
    number: Annotated[Name | None, Query()] = None,
    date_from: Annotated[Date | None, Query()] = None,
    date_to: Annotated[Date | None, Query()] = None,
    amount_min: Annotated[Amount | None, Query(description="least net total")] = None,
    amount_max: Annotated[Amount | None, Query(description="largest net total")] = None,
    rule: Annotated[Name | None, Query(description="code of a rule with a finding")] = None,
) -> DocumentFilter:
    """The filter of the query; all that is given must hold, and the bounds are included."""
    return DocumentFilter(
        review=review,
        kind=kind,
        account_id=account_id,
        company_id=company_id,
        currency=currency,
        number=number,
        date_from=date_from,
        date_to=date_to,
        amount_min=amount_min,
        amount_max=amount_max,
        rule=rule,
    )


def documents_router(database: Database, *, four_eyes: bool) -> APIRouter:
    """The documents of one run. `four_eyes`: to validate takes another user than the run's creator."""
    router = APIRouter(prefix="/billing-runs/{run_id}/documents", tags=["documents"])

    @router.get("", summary="Documents that are in the run now")
    async def documents(
        principal: Reads,
        run_id: Id,
        page: Annotated[PageRequest, pages_by(str)],
        wanted: Annotated[DocumentFilter, Depends(document_filter)],
    ) -> dict[str, Any]:
        run = await read_run(database.pool, run_id)
        after: Any = page.after[0] if page.after is not None else ""
        found = await document_lists.documents_page(
            database.pool, run_id, wanted, after=after, limit=page.limit + 1
        )
        shown, cursor = page.cut(found, lambda pair: (pair[0].document_id,))
        return page_response([document_shape(document, head, run) for document, head in shown], cursor)

    @router.post("/review", summary="Act on some or all documents", max_body_size=LARGE_BODY_BYTES_MAX)
    async def review(request: Request, principal: Approves, run_id: Id, body: ReviewRequest) -> Response:
        async def action(work: UnitOfWork) -> Answer:
            results = await review_documents(
                work,
                run_id,
                body,
                starter=starter_of_principal(principal),
                cause=Cause.begun_here(new_id()),
                four_eyes=four_eyes,
                permitted_projects=principal.projects,
            )
            if results is None:
                raise unknown_run()
            shown = [
                {"document_id": each.document_id, "result": each.result, "code": each.code}
                for each in results
            ]
            return Answer(200, {"results": shown})

        return await answer_once(database, request, principal, action)

    return router
