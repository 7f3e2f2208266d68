"""The files of documents: as they are kept, or made while the caller waits."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.files import PASSING, fail_on_demand, keep_on_demand, load_renderings
from accounting_connector.rendering.model import NotRenderedError
from accounting_connector.rendering.workers import RenderingWorkers
from accounting_connector.store import files
from accounting_connector.store.files import RenderedFile
from accounting_connector.store.reason_bodies import reason_bodies
from shared.contracts.base import Id
from shared.contracts.command_fields import FileFormat
from shared.database.database import Database
from shared.http.authorization import require
from shared.http.problems import RETRY_AFTER_SECONDS, Problem, not_found

MADE_AT_ONCE: Final = 4
"""Documents that callers have loaded to have their files made; more callers wait before they load theirs."""

MEDIA_TYPES: Final[Mapping[FileFormat, str]] = {"xml": "application/xml", "pdf": "application/pdf"}


def files_router(database: Database, deployment: Deployment, processes: RenderingWorkers) -> APIRouter:
    """The calls that give files."""
    router = APIRouter(tags=["documents"])
    turns = asyncio.Semaphore(MADE_AT_ONCE)

    async def make(document_id: str, file_format: FileFormat) -> tuple[str, RenderedFile]:
        async with turns:
            renderings = await load_renderings(database.pool, deployment, [document_id])
            rendering = renderings[document_id]
            try:
                content = await processes.render(rendering, file_format)
            except NotRenderedError as error:
                if error.reasons[0].code not in PASSING:
                    key, reasons, is_draft = (document_id, file_format), error.reasons, rendering.is_draft
                    await database.run(lambda work: fail_on_demand(work, key, reasons, is_draft=is_draft))
                raise _not_made(error) from None
            file = RenderedFile(document_id, file_format, content)
            await database.run(lambda work: keep_on_demand(work, file, is_draft=rendering.is_draft))
            return rendering.number, file

    async def answer(request: Request, document_id: str, file_format: FileFormat) -> Response:
        found = await files.load_file(database.pool, document_id, file_format)
        if found is None:
            raise not_found()
        number, file = found
        if file is None:
            number, file = await make(document_id, file_format)
        headers = {
            "Content-Disposition": f'attachment; filename="{number}.{file_format}"',
            "ETag": f'"{file.sha256}"',
            "Cache-Control": "private, no-cache",
        }
        if _is_known(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=MEDIA_TYPES[file_format])

    @router.get(
        "/documents/{document_id}.xml",
        dependencies=[require("documents:read")],
        response_class=Response,
        responses=_described("xml"),
    )
    async def get_xml(request: Request, document_id: Annotated[Id, Path()]) -> Response:
        """The document as UBL 2.1 to EN 16931."""
        return await answer(request, document_id, "xml")

    @router.get(
        "/documents/{document_id}.pdf",
        dependencies=[require("documents:read")],
        response_class=Response,
        responses=_described("pdf"),
    )
    async def get_pdf(request: Request, document_id: Annotated[Id, Path()]) -> Response:
        """The document as A4 pages."""
        return await answer(request, document_id, "pdf")

    return router


def _described(file_format: FileFormat) -> dict[int | str, dict[str, Any]]:
    """The answers as the API's description has them."""
    content = {MEDIA_TYPES[file_format]: {"schema": {"type": "string", "format": "binary"}}}
    return {
        200: {"description": "The file", "content": content},
        304: {"description": "The caller has the file already"},
    }


def _not_made(error: NotRenderedError) -> Problem:
    """422 for what stands in the document itself, 503 for what may pass."""
    code = error.reasons[0].code
    members = {"reasons": reason_bodies(error.reasons)}
    title = "The file cannot be made"
    if code in PASSING:
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return Problem(503, code, title, detail=str(error), members=members, headers=headers)
    return Problem(422, code, title, detail=str(error), members=members)


def _is_known(if_none_match: str, etag: str) -> bool:
    """Whether the caller has this file already (RFC 9110, section 13.1.2)."""
    told = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return etag in told or "*" in told
