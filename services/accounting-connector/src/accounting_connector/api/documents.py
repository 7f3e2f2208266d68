"""Documents: a list, and one of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from accounting_connector.api.answers import DocumentAnswer, DocumentHead, json_response
from accounting_connector.facts import document_body, document_details, document_head
from accounting_connector.store import document_lists, documents, files
from accounting_connector.store.document_lists import DocumentFilter
from shared.contracts.base import Id
from shared.contracts.document import DocumentStatus
from shared.contracts.selections import DocumentKind
from shared.database.database import Database
from shared.http.authorization import require
from shared.http.pages import Page, PageRequest, page_response, pages_by
from shared.http.problems import not_found


def documents_router(database: Database) -> APIRouter:
    """The calls that show documents."""
    router = APIRouter(tags=["documents"])

    @router.get("/documents", response_model=Page[DocumentHead], dependencies=[require("documents:read")])
    async def list_documents(
        *,
        page: Annotated[PageRequest, pages_by(datetime, str)],
        kind: Annotated[DocumentKind | None, Query()] = None,
        status: Annotated[DocumentStatus | None, Query()] = None,
        account_id: Annotated[Id | None, Query()] = None,
        billing_run_id: Annotated[Id | None, Query()] = None,
        billing_event_id: Annotated[Id | None, Query()] = None,
    ) -> Response:
        """Documents in the order of their making; without their lines."""
        asked = DocumentFilter(kind, status, account_id, billing_run_id, billing_event_id)
        after: Any = page.after
        rows: Sequence[Any] = await document_lists.list_documents(database.pool, asked, after, page.limit + 1)
        rows, cursor = page.cut(rows, lambda row: (row["created_at"], row["document_id"]))
        stored = [documents.stored_document_of(row, (), ()) for row in rows]
        states = await files.states_of(database.pool, [each.document.document_id for each in stored])
        items = [
            {**document_head(each), **document_details(each, states[each.document.document_id])}
            for each in stored
        ]
        return json_response(page_response(items, cursor))

    @router.get(
        "/documents/{document_id}", response_model=DocumentAnswer, dependencies=[require("documents:read")]
    )
    async def get_document(document_id: Annotated[Id, Path()]) -> Response:
        """One document, whole."""
        found = await documents.load_documents(database.pool, [document_id])
        if document_id not in found:
            raise not_found()
        stored = found[document_id]
        states = await files.states_of(database.pool, [document_id])
        return json_response({**document_body(stored), **document_details(stored, states[document_id])})

    return router
