"""Documents as steps go through them: what was asked of the connector, and what it answered."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, Final

from billing_runs.store.connection import Connection, as_json
from billing_runs.store.run_documents import HEAD, StoredDocument, document_of
from shared.contracts.command_fields import FileFormat
from shared.database.unit_of_work import Cause

# The parts are column names of ours; every value is a parameter. What is to be changed is picked first, once: a plan
# made before the table has grown would look for it again for every row.
_TO_VALIDATE: Final = """
with picked as materialized (
  select document_id from run_documents
  where run_id = $1 and document_id > $3 and review in ('draft', 'suspect') and asked is null
    and refused_by is distinct from $2
  order by run_id, document_id limit $4 for no key update)
update run_documents as known
set asked = 'validate', asked_by = $2, asked_closes_events = null, refusal = null
from picked where known.document_id = picked.document_id
returning known.document_id
"""
_TO_CANCEL: Final = """
with picked as materialized (
  select document_id from run_documents
  where run_id = $1 and document_id > $4 and status = 'draft' and asked_by is distinct from $2
    and refused_by is distinct from $2
  order by run_id, document_id limit $5 for no key update)
update run_documents as known set asked = 'cancel', asked_by = $2, asked_closes_events = $3
from picked where known.document_id = picked.document_id
returning known.document_id
"""
_TO_RECHECK: Final = f"""
with picked as materialized (
  select document_id from run_documents
  where run_id = $1 and document_id > $3 and review = 'rejected' and rejected_by = 'rule' and asked is null
    and judged_by is distinct from $2
  order by run_id, review, document_id limit $4 for no key update)
update run_documents as known set judged_by = $2
from picked where known.document_id = picked.document_id
returning {HEAD}
"""  # noqa: S608
_TO_JUDGE: Final = f"""
with picked as materialized (
  select document_id from run_documents
  where run_id = $1 and document_id > $4 and review = any($3::text[]) and status = 'draft' and asked is null
    and (rejected_by is null or rejected_by = 'rule') and judged_by is distinct from $2
  order by run_id, document_id limit $5 for no key update)
update run_documents as known set judged_by = $2
from picked where known.document_id = picked.document_id
returning {HEAD}
"""  # noqa: S608
_WAITING: Final = f"""
select {HEAD} from run_documents as known
where run_id = $1 and asked is not null and asked_by is null and (asked = 'cancel' or not $2)
order by document_id limit $3 for no key update
"""  # noqa: S608
_ASK: Final = """
update run_documents as known
set asked = $2, asked_by = $3, asked_closes_events = $4, asked_starter = $5, asked_cause = $6,
  asked_invoice_date = $7,
  refusal = case when $2 = 'validate' then null else refusal end
where document_id = any($1::text[])
"""
_DROP: Final = """
update run_documents
set asked = null, asked_by = null, asked_closes_events = null, asked_starter = null, asked_cause = null,
  asked_invoice_date = null
where document_id = any($1::text[])
"""
_FORGET: Final = """
update run_documents set asked = null, asked_by = null where run_id = $1 and asked_by = $2
"""
_ENDED: Final = """
update run_documents as known
set status = given.status, review = given.status, rejected_by = null, reason = null, number = given.number,
  date = given.date, due_date = given.due_date, refusal = null, asked = null, asked_by = null,
  asked_closes_events = null, asked_starter = null, asked_cause = null,
  xml_file = case when known.xml_file = 'queued' then 'queued' when known.xml_file is not null then 'stale' end,
  pdf_file = case when known.pdf_file = 'queued' then 'queued' when known.pdf_file is not null then 'stale' end
from unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::date[])
  as given (document_id, status, number, date, due_date)
where known.document_id = given.document_id and known.status = 'draft'
"""
_REFUSED: Final = """
update run_documents as known
set refusal = case when known.asked = 'validate' then given.reasons::jsonb else known.refusal end,
  refused_by = known.asked_by, asked = null, asked_by = null, asked_closes_events = null, asked_starter = null,
  asked_cause = null
from unnest($1::text[], $2::text[]) as given (document_id, reasons)
where known.document_id = given.document_id and known.status = 'draft'
"""
_COUNT_ASKED: Final = "select count(*) from run_documents where run_id = $1 and asked_by = $2"
# The parts are column names of ours; every value is a parameter.
_FILE: Final = """
with picked as materialized (
  select document_id from run_documents where run_id = $1 and document_id > $3 and status <> 'cancelled'
    and ({format}_file is null or {format}_file in ('failed', 'stale')) and {format}_asked_by is distinct from $2
  order by run_id, document_id limit $4 for no key update)
update run_documents as known set {format}_file = 'queued', {format}_asked_by = $2
from picked where known.document_id = picked.document_id
returning known.document_id
"""
_RENDERED: Final = """
update run_documents as known set {format}_file = given.file
from unnest($1::text[], $2::text[], $3::text[]) as given (document_id, file, asked_by)
where known.document_id = given.document_id and known.{format}_file = 'queued'
  and known.{format}_asked_by = given.asked_by
returning known.document_id, given.asked_by
"""
_UNQUEUE: Final = """
update run_documents set {format}_file = 'stale' where {format}_asked_by = $1 and {format}_file = 'queued'
  and run_id = any($2::text[])
"""


async def take_to_validate(
    connection: Connection, run_id: str, *, execution_id: str, after: str, limit: int
) -> list[str]:
    """Mark good documents after this id as asked for by the step, and return their ids in order; locks them."""
    rows = await connection.fetch(_TO_VALIDATE, run_id, execution_id, after, limit)
    return sorted(row["document_id"] for row in rows)


async def take_to_cancel(
    connection: Connection, run_id: str, *, execution_id: str, closes_events: bool, after: str, limit: int
) -> list[str]:
    """Mark drafts after this id that the step has not asked for yet as to be cancelled, and return their ids in order;
    locks them.
    """
    rows = await connection.fetch(_TO_CANCEL, run_id, execution_id, closes_events, after, limit)
    return sorted(row["document_id"] for row in rows)


async def take_to_recheck(
    connection: Connection, run_id: str, *, execution_id: str, after: str, limit: int
) -> list[StoredDocument]:
    """Documents after this id that a rule rejected and this execution has not judged yet, marked as judged, in order;
    locks them.
    """
    rows = await connection.fetch(_TO_RECHECK, run_id, execution_id, after, limit)
    return sorted(map(document_of, rows), key=_id_of)


async def take_to_judge(
    connection: Connection,
    run_id: str,
    *,
    execution_id: str,
    reviews: Sequence[str],
    after: str,
    limit: int,
) -> list[StoredDocument]:
    """Documents after this id in these reviews by the rules that this execution has not judged yet, marked as judged,
    in order; locks them.
    """
    rows = await connection.fetch(_TO_JUDGE, run_id, execution_id, reviews, after, limit)
    return sorted(map(document_of, rows), key=_id_of)


async def waiting_documents(
    connection: Connection, run_id: str, *, disabled: bool, limit: int
) -> list[StoredDocument]:
    """Documents whose queued action has not been sent; validations of a disabled run stay queued. Locks them."""
    return [document_of(row) for row in await connection.fetch(_WAITING, run_id, disabled, limit)]


async def ask(
    connection: Connection,
    document_ids: Sequence[str],
    *,
    action: str,
    by: str | None,
    closes_events: bool,
    invoice_date: date | None,
    starter: Mapping[str, Any] | None,
    cause: Cause,
) -> None:
    """Note an action on locked documents, and what began it: sent by `by`, or (None) queued."""
    values = (document_ids, action, by, closes_events, starter, asdict(cause), invoice_date)
    await connection.execute(_ASK, *values)


async def drop_asked(connection: Connection, document_ids: Sequence[str]) -> None:
    """Forget the queued action of locked documents that no longer allow it."""
    await connection.execute(_DROP, document_ids)


async def forget_asked_by(connection: Connection, run_id: str, execution_id: str) -> None:
    """Forget what a failed execution asked, so that the next one asks for it again."""
    await connection.execute(_FORGET, run_id, execution_id)


async def end_documents(
    connection: Connection, ended: Sequence[tuple[str, str, str | None, date | None, date | None]]
) -> None:
    """Write that drafts were validated or cancelled: id, status, number, date and due date of each."""
    if ended:
        await connection.execute(_ENDED, *(list(column) for column in zip(*ended, strict=True)))


async def refuse_documents(
    connection: Connection, reasons: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Write that the connector refused what was asked for locked drafts; the execution will not ask again."""
    if reasons:
        await connection.execute(_REFUSED, list(reasons), [as_json(each) for each in reasons.values()])


async def count_asked_by(connection: Connection, run_id: str, execution_id: str) -> int:
    """How many of the run's documents still owe the execution an answer."""
    return int(await connection.fetchval(_COUNT_ASKED, run_id, execution_id))


async def take_to_render(
    connection: Connection, run_id: str, *, file_format: FileFormat, execution_id: str, after: str, limit: int
) -> list[str]:
    """Mark documents after this id without a current file as queued for one, and return their ids in order; locks them.

    Those that the execution has asked for before are left out, for they have failed.
    """
    rows = await connection.fetch(_FILE.format(format=file_format), run_id, execution_id, after, limit)
    return sorted(row["document_id"] for row in rows)


async def set_files(
    connection: Connection, files: Sequence[tuple[str, str, str]], *, file_format: FileFormat
) -> dict[str, str]:
    """Write how files turned out: id of the document, outcome, and the execution that has asked for it.

    The documents must be locked. Returns, by document, the execution whose question that answers; what nobody has asked
    for, or somebody else has asked for since, is left out.
    """
    if not files:
        return {}
    columns = [list(column) for column in zip(*files, strict=True)]
    rows = await connection.fetch(_RENDERED.format(format=file_format), *columns)
    return {row["document_id"]: row["asked_by"] for row in rows}


async def unqueue_files(
    connection: Connection, execution_id: str, run_ids: Sequence[str], *, file_format: FileFormat
) -> None:
    """Take back the files of documents in these runs that the execution has asked for without an answer."""
    await connection.execute(_UNQUEUE.format(format=file_format), execution_id, run_ids)


def _id_of(document: StoredDocument) -> str:
    return document.document_id
