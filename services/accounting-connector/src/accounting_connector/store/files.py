"""Files of documents: asked for, made by workers, kept (domain.md section 4, "Rendering is apart")."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from accounting_connector.domain.reasons import Reason
from accounting_connector.store.connection import Connection, Reader, json_list
from accounting_connector.store.reason_bodies import reason_bodies
from shared.contracts.command_fields import FileFormat
from shared.database.unit_of_work import Cause

FORMATS: Final[tuple[FileFormat, ...]] = ("xml", "pdf")

FileKey = tuple[str, FileFormat]
"""A document's id and the format of one of its files."""

_STATES: Final = "select document_id, format, state from document_files where document_id = any($1::text[])"
_READY: Final = """
select document_id, size, sha256 from document_files
where document_id = any($1::text[]) and format = $2 and state = 'ready'
"""
_LOAD: Final = """
select document.number, file.bytes
from documents as document left join document_files as file
  on file.document_id = document.document_id and file.format = $2 and file.state = 'ready'
where document.document_id = $1
"""
# A worker holds the rows of the files that it makes: no statement but its own waits for them, and none of its own for
# others, so that nobody waits for a file to be made.
_QUEUE_NEW: Final = """
insert into document_files (document_id, format, state)
select document_id, $2, 'queued' from unnest($1::text[]) as asked (document_id) order by document_id
on conflict do nothing
"""
_QUEUE_AGAIN: Final = """
update document_files set state = 'queued', attempts = 0, due_at = now(), reasons = '[]'
where document_id = any($1::text[]) and format = $2 and state in ('failed', 'stale')
"""
_ASK: Final = """
insert into file_requests (document_id, format, job_id, starter, correlation_id, causation_id, traceparent)
select document_id, $2, $3, $4, $5, $6, $7 from unnest($1::text[]) with ordinality as asked (document_id, place)
order by place
"""
_TAKE: Final = """
with locked as (
  select document_id, format, attempts, due_at from document_files where state = 'queued' and due_at <= now()
  order by due_at, document_id, format limit $1 for update skip locked
), sized as (
  select locked.*, sum(document.line_count) over (order by due_at, document_id, format) - document.line_count
    as lines_before
  from locked join documents as document using (document_id)
)
select document_id, format, attempts from sized where lines_before < $2
"""
_KEEP_NEW: Final = """
insert into document_files (document_id, format, state, bytes, size, sha256, rendered_at)
values ($1, $2, 'ready', $3, $4, $5, now())
on conflict do nothing
returning true
"""
_KEEP: Final = """
update document_files set state = 'ready', bytes = $3, size = $4, sha256 = $5, rendered_at = now(), reasons = '[]',
  attempts = 0
where (document_id, format) in (
  select document_id, format from document_files
  where document_id = $1 and format = $2 and state <> 'ready' for update skip locked)
returning true
"""
_KEEP_MADE: Final = """
update document_files as file set state = 'ready', bytes = made.bytes, size = octet_length(made.bytes),
  sha256 = made.sha256, rendered_at = now(), reasons = '[]', attempts = 0
from unnest($1::text[], $2::text[], $3::bytea[], $4::text[]) as made (document_id, format, bytes, sha256)
where file.document_id = made.document_id and file.format = made.format and file.state = 'queued'
"""
_FAIL: Final = """
update document_files as file set state = 'failed', reasons = failed.reasons
from unnest($1::text[], $2::text[], $3::jsonb[]) as failed (document_id, format, reasons)
where file.document_id = failed.document_id and file.format = failed.format and file.state = 'queued'
"""
_FAIL_NEW: Final = """
insert into document_files (document_id, format, state, reasons) values ($1, $2, 'failed', $3)
on conflict do nothing
"""
_FAIL_STALE: Final = """
update document_files set state = 'failed', reasons = $3 where document_id = $1 and format = $2 and state = 'stale'
"""
_PUT_OFF: Final = """
update document_files as file set attempts = attempts + 1, due_at = now() + make_interval(secs => later.seconds)
from unnest($1::text[], $2::text[], $3::float8[]) as later (document_id, format, seconds)
where file.document_id = later.document_id and file.format = later.format and file.state = 'queued'
"""
_OUTDATE: Final = """
update document_files set state = 'stale', bytes = null, size = null, sha256 = null, rendered_at = null
where document_id = any($1::text[]) and state = 'ready'
"""
_REQUESTS: Final = """
delete from file_requests as request
using unnest($1::text[], $2::text[]) as answered (document_id, format)
where request.document_id = answered.document_id and request.format = answered.format
returning request.*
"""


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A file that was made; `sha256` in hexadecimal digits."""

    document_id: str
    format: FileFormat
    content: bytes

    @property
    def sha256(self) -> str:
        """What its content is known by."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class QueuedFile:
    """A file to make; `attempts` were made before."""

    document_id: str
    format: FileFormat
    attempts: int


@dataclass(frozen=True, slots=True)
class FileRequest:
    """Who waits for a file: the job that asked (a step of a billing run), in whose name, and by which message."""

    document_id: str
    format: FileFormat
    job_id: str | None
    starter: Mapping[str, Any] | None
    cause: Cause


async def states_of(connection: Reader, document_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """How far the files of these documents are, by document id and format; `none`: nobody has asked for it."""
    ids = list(document_ids)
    states = {document_id: dict.fromkeys(map(str, FORMATS), "none") for document_id in ids}
    for row in await connection.fetch(_STATES, ids):
        states[row["document_id"]][row["format"]] = row["state"]
    return states


async def ready_files(
    connection: Reader, document_ids: Sequence[str], file_format: FileFormat
) -> dict[str, tuple[int, str]]:
    """Size in bytes and sha256 of the current files of these documents, by document id."""
    rows = await connection.fetch(_READY, document_ids, file_format)
    return {row["document_id"]: (row["size"], row["sha256"]) for row in rows}


async def load_file(
    connection: Reader, document_id: str, file_format: FileFormat
) -> tuple[str, RenderedFile | None] | None:
    """A document's number, and its current file if there is one; None for a document that is not known."""
    row = await connection.fetchrow(_LOAD, document_id, file_format)
    if row is None:
        return None
    file = None if row["bytes"] is None else RenderedFile(document_id, file_format, row["bytes"])
    return row["number"], file


async def queue_files(
    connection: Connection,
    document_ids: Sequence[str],
    file_format: FileFormat,
    *,
    job_id: str | None,
    starter: Mapping[str, Any] | None,
    cause: Cause,
) -> None:
    """Have the files of locked documents made, and note who waits for them; failed and stale ones are made again."""
    await connection.execute(_QUEUE_NEW, document_ids, file_format)
    await connection.execute(_QUEUE_AGAIN, document_ids, file_format)
    await connection.execute(
        _ASK,
        document_ids,
        file_format,
        job_id,
        starter,
        cause.correlation_id,
        cause.causation_id,
        cause.traceparent,
    )


async def take_due(connection: Connection, *, files_max: int, lines_max: int) -> list[QueuedFile]:
    """Lock files that are to be made, skipping what other workers hold.

    At most so many, and of documents with so many lines in all; a single document may have more.
    """
    rows = await connection.fetch(_TAKE, files_max, lines_max)
    return [QueuedFile(row["document_id"], row["format"], row["attempts"]) for row in rows]


async def keep_file(connection: Connection, file: RenderedFile) -> bool:
    """Keep a file of a locked document; False where there is one already, or a worker is about to keep one."""
    values = (file.document_id, file.format, file.content, len(file.content), file.sha256)
    kept = await connection.fetchval(_KEEP_NEW, *values) or await connection.fetchval(_KEEP, *values)
    return bool(kept)


async def keep_files(connection: Connection, files: Sequence[RenderedFile]) -> None:
    """Keep files whose rows `take_due` has locked, of locked documents."""
    if files:
        await connection.execute(
            _KEEP_MADE,
            [file.document_id for file in files],
            [file.format for file in files],
            [file.content for file in files],
            [file.sha256 for file in files],
        )


async def fail_files(connection: Connection, failed: Mapping[FileKey, Sequence[Reason]]) -> None:
    """Give up files of locked documents, with the reasons."""
    reasons = [json_list(reason_bodies(tuple(each))) for each in failed.values()]
    await connection.execute(_FAIL, *_columns(failed), reasons)


async def fail_file(connection: Connection, key: FileKey, reasons: Sequence[Reason]) -> None:
    """Note why a file of a locked document cannot be made, unless a worker is about to say so."""
    values = (*key, reason_bodies(reasons))
    await connection.execute(_FAIL_NEW, *values)
    await connection.execute(_FAIL_STALE, *values)


async def put_off(connection: Connection, seconds: Mapping[FileKey, float]) -> None:
    """Have files tried again after so many seconds."""
    await connection.execute(_PUT_OFF, *_columns(seconds), list(seconds.values()))


async def outdate_files(connection: Connection, document_ids: Sequence[str]) -> None:
    """The files of locked documents are not right any more: they are dropped, and stale until asked for again."""
    await connection.execute(_OUTDATE, document_ids)


async def take_requests(connection: Connection, files: Iterable[FileKey]) -> list[FileRequest]:
    """Who waits for these files of locked documents, in the order in which they asked; they wait no longer."""
    rows = await connection.fetch(_REQUESTS, *_columns(files))
    return [
        FileRequest(
            row["document_id"],
            row["format"],
            row["job_id"],
            row["starter"],
            Cause(row["causation_id"], row["correlation_id"], row["traceparent"]),
        )
        for row in sorted(rows, key=lambda row: row["place"])
    ]


def _columns(files: Iterable[FileKey]) -> tuple[list[str], list[str]]:
    keys = list(files)
    return [document_id for document_id, _ in keys], [file_format for _, file_format in keys]
