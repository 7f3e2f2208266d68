"""Files of documents: asked for, made in worker processes, kept (domain.md section 4, "Document states")."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from accounting_connector.domain.documents import DocumentStatus
from accounting_connector.domain.reasons import Reason
from accounting_connector.handlers.claims import starter_of
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.publishing import (
    publish_refused,
    publish_render_failed,
    publish_rendered,
)
from accounting_connector.rendering.model import (
    NotRenderedError,
    PrecedingDocument,
    Rendering,
    preceding_document_id,
    rendering_of,
)
from accounting_connector.rendering.workers import RenderingWorkers
from accounting_connector.store import documents, files
from accounting_connector.store.connection import Reader
from accounting_connector.store.files import FileKey, FileRequest, QueuedFile, RenderedFile
from shared.contracts.command_fields import FileFormat
from shared.contracts.commands import RenderDocuments
from shared.database.unit_of_work import Cause, UnitOfWork

FILES_AT_ONCE: Final = 100
"""Of one transaction: few enough that the files of a run are told of as they come."""

LINES_AT_ONCE: Final = 10_000
"""Lines of documents that a step holds in memory; a single document may have more."""

ATTEMPTS_MAX: Final = 5
PASSING: Final = frozenset({"rendering_timed_out", "rendering_crashed", "rendering_failed"})
"""Reasons that may be over at the next attempt; all others stand in the document itself."""

_HOLD_AT_MOST: Final = "set local idle_in_transaction_session_timeout = '100min'"
"""As long as FILES_AT_ONCE documents may take one after the other."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What came of one file, and whether it shows a draft."""

    queued: QueuedFile
    is_draft: bool
    content: bytes | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def key(self) -> FileKey:
        return self.queued.document_id, self.queued.format


async def ask_for_files(
    work: UnitOfWork, deployment: Deployment, command: RenderDocuments, cause: Cause, waited_seconds: float
) -> bool:
    """Queue the files of documents, and tell at once of those that are ready; False if the command is to wait.

    Locks the documents.
    """
    ids = list(dict.fromkeys(command.document_ids))
    heads = await documents.lock_heads(work.connection, ids)
    unknown = [document_id for document_id in ids if document_id not in heads]
    if unknown and waited_seconds < deployment.command_wait_seconds:
        return False
    starter = starter_of(command)
    for document_id in unknown:
        reason = Reason("not_found", f"Document {document_id} is not known")
        publish_refused(work, command, document_id, (reason,), cause, action="render", starter=starter)
    known = [document_id for document_id in ids if document_id in heads]
    ready = await files.ready_files(work.connection, known, command.format)
    for document_id, (size_bytes, sha256) in ready.items():
        request = FileRequest(document_id, command.format, command.job_id, starter, cause)
        publish_rendered(work, request, heads[document_id], size_bytes, sha256)
    to_make = [document_id for document_id in known if document_id not in ready]
    await files.queue_files(
        work.connection, to_make, command.format, job_id=command.job_id, starter=starter, cause=cause
    )
    return True


async def work_files(work: UnitOfWork, deployment: Deployment, processes: RenderingWorkers) -> bool:
    """Make the files that are due, each by itself, so that one which fails stops no other; False if none is due.

    Their rows stay locked meanwhile, for which nobody waits; if the service dies, they are free again at once. Locks
    the documents at the end, and makes a file anew whose document has been validated meanwhile.
    """
    due = await files.take_due(work.connection, files_max=FILES_AT_ONCE, lines_max=LINES_AT_ONCE)
    if not due:
        return False
    await work.connection.execute(_HOLD_AT_MOST)
    renderings = await load_renderings(work.connection, deployment, (queued.document_id for queued in due))
    wanted = [(renderings[queued.document_id], queued.format) for queued in due]
    made = await processes.render_many(wanted)
    await _keep(work, [_made(*each) for each in zip(due, wanted, made, strict=True)])
    return True


async def load_renderings(
    connection: Reader, deployment: Deployment, document_ids: Iterable[str]
) -> dict[str, Rendering]:
    """What the files of these documents are made from, by id; ids that are not known are left out."""
    found = [
        stored.document for stored in (await documents.load_documents(connection, document_ids)).values()
    ]
    named = (preceding_document_id(document) for document in found)
    numbers = await documents.numbers_of(connection, (named_id for named_id in named if named_id is not None))
    today = deployment.today()
    renderings = {}
    for document in found:
        preceding = numbers.get(preceding_document_id(document) or "")
        renderings[document.document_id] = rendering_of(
            document, today=today, preceding=None if preceding is None else PrecedingDocument(*preceding)
        )
    return renderings


async def keep_on_demand(work: UnitOfWork, file: RenderedFile, *, is_draft: bool) -> None:
    """Keep a file that somebody has asked to see, unless its document has been validated meanwhile; tell who waits."""
    heads = await documents.lock_heads(work.connection, [file.document_id])
    if _is_draft(heads[file.document_id].status) == is_draft and await files.keep_file(work.connection, file):
        await _tell(work, heads, {(file.document_id, file.format): file}, {})


async def fail_on_demand(
    work: UnitOfWork, key: FileKey, reasons: Sequence[Reason], *, is_draft: bool
) -> None:
    """Note that a file which somebody has asked to see cannot be made, unless its document has been validated."""
    heads = await documents.lock_heads(work.connection, [key[0]])
    if _is_draft(heads[key[0]].status) == is_draft:
        await files.fail_file(work.connection, key, reasons)


def _made(queued: QueuedFile, wanted: tuple[Rendering, FileFormat], made: bytes | NotRenderedError) -> _Made:
    is_draft = wanted[0].is_draft
    if isinstance(made, NotRenderedError):
        return _Made(queued, is_draft, reasons=made.reasons)
    return _Made(queued, is_draft, made)


async def _keep(work: UnitOfWork, made: Sequence[_Made]) -> None:
    heads = await documents.lock_heads(work.connection, (each.queued.document_id for each in made))
    kept: dict[FileKey, RenderedFile] = {}
    failed: dict[FileKey, Sequence[Reason]] = {}
    again: dict[FileKey, float] = {}
    for each in made:
        if _is_draft(heads[each.queued.document_id].status) != each.is_draft:
            again[each.key] = 0.0
        elif each.content is not None:
            kept[each.key] = RenderedFile(*each.key, each.content)
        elif _may_pass(each):
            again[each.key] = 2.0**each.queued.attempts
        else:
            failed[each.key] = each.reasons
    await files.keep_files(work.connection, list(kept.values()))
    await files.fail_files(work.connection, failed)
    await files.put_off(work.connection, again)
    await _tell(work, heads, kept, failed)


def _may_pass(made: _Made) -> bool:
    return made.queued.attempts + 1 < ATTEMPTS_MAX and all(reason.code in PASSING for reason in made.reasons)


def _is_draft(status: DocumentStatus) -> bool:
    """Whether the files of a document in this status say DRAFT."""
    return status is not DocumentStatus.VALIDATED


async def _tell(
    work: UnitOfWork,
    heads: Mapping[str, documents.DocumentHead],
    kept: Mapping[FileKey, RenderedFile],
    failed: Mapping[FileKey, Sequence[Reason]],
) -> None:
    """Answer all who wait for these files."""
    for request in await files.take_requests(work.connection, [*kept, *failed]):
        key: tuple[str, FileFormat] = (request.document_id, request.format)
        head = heads[request.document_id]
        if key in kept:
            publish_rendered(work, request, head, len(kept[key].content), kept[key].sha256)
        else:
            publish_render_failed(work, request, head, failed[key])
