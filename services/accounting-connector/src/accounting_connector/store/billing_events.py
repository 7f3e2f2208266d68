"""The projection of release's billing events, with what the connector itself knows of them: read, locked, changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from accounting_connector.domain.billing_events import Stage
from accounting_connector.domain.documents import DocumentStatus
from accounting_connector.store.connection import Connection, Reader

_UPSERT: Final = """
insert into billing_events as known (
  billing_event_id, project_id, batch_id, account_id, company_id, currency, billing_event_currency, date, stage,
  summary_amount, item_count, job_id, left_to_job, starter, body)
select * from unnest(
  $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::date[], $9::text[],
  $10::numeric[], $11::int[], $12::text[], $13::bool[], $14::jsonb[], $15::jsonb[]) as told (billing_event_id)
order by told.billing_event_id collate "C"
on conflict (billing_event_id) do update set
  project_id = excluded.project_id, batch_id = excluded.batch_id, account_id = excluded.account_id,
  company_id = excluded.company_id, currency = excluded.currency,
  billing_event_currency = excluded.billing_event_currency, date = excluded.date, stage = excluded.stage,
  summary_amount = excluded.summary_amount, item_count = excluded.item_count,
  job_id = coalesce(excluded.job_id, known.job_id), left_to_job = known.left_to_job or excluded.left_to_job,
  starter = coalesce(excluded.starter, known.starter), body = excluded.body,
  amount_changed_at = case when known.summary_amount = excluded.summary_amount or excluded.stage = 'released'
    then known.amount_changed_at else now() end
"""
_SET_STAGES: Final = """
with told as (
  select known.billing_event_id, asked.stage
  from billing_events as known join unnest($1::text[], $2::text[]) as asked (billing_event_id, stage)
    on asked.billing_event_id = known.billing_event_id
  order by known.billing_event_id for no key update of known
)
update billing_events as known set stage = told.stage from told
where told.billing_event_id = known.billing_event_id
"""
_LOAD: Final = """
select billing_event_id, account_id, company_id, currency, stage, item_count, left_to_job, starter, closed,
  withdrawal, body, coalesce(extract(epoch from now() - registered_at), 'infinity')::float8 as known_seconds
from billing_events where billing_event_id = any($1::text[])
"""
_LOCK: Final = f"{_LOAD} order by billing_event_id for no key update"
_LOCK_ONLY: Final = """
select count(*) from (
  select from billing_events where billing_event_id = any($1::text[]) order by billing_event_id for no key update
) as locked
"""
_HOLDINGS: Final = """
select asked.billing_event_id, claim.billing_run_id, live.document_id, document.status,
  cardinality(document.billing_event_ids) as event_count
from unnest($1::text[]) as asked (billing_event_id)
left join claims as claim on claim.billing_event_id = asked.billing_event_id
left join live_documents as live on live.billing_event_id = asked.billing_event_id
left join documents as document on document.document_id = live.document_id
where claim.billing_event_id is not null or live.billing_event_id is not null
"""
_CLOSE: Final = "update billing_events set closed = true where billing_event_id = any($1::text[])"
_BAR: Final = """
update billing_events as event set withdrawal = asked.withdrawal
from unnest($1::text[], $2::jsonb[]) as asked (billing_event_id, withdrawal)
where event.billing_event_id = asked.billing_event_id
"""
_LEAVE_TO_NOBODY: Final = """
update billing_events set left_to_job = false where billing_event_id = any($1::text[]) and left_to_job
"""

_OVER: Final = frozenset({Stage.REVERTED, Stage.DELETED})


@dataclass(frozen=True, slots=True)
class ProjectedEvent:
    """What facts tell of an event: its body, and of its release the job, if it is left to that, and who began it."""

    body: Mapping[str, Any]
    project_id: str
    date: date
    summary_amount: Decimal
    job_id: str | None
    left_to_job: bool
    starter: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class LiveDocument:
    """The one live document of an event, and how many events that document holds."""

    document_id: str
    status: DocumentStatus
    event_count: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A billing event as it stands, with who holds it.

    `told_stage` is release's word; `stage` is what the connector goes by. `left_to_job`: release and invoice will
    pass it in its second stage. `withdrawal`: what its withdrawal came to; it is barred from documents since.
    `body` is the `billing_event` of the last fact. `known_seconds`: how long the event has been known here.
    """

    billing_event_id: str
    account_id: str | None
    company_id: str | None
    currency: str
    told_stage: Stage
    item_count: int
    left_to_job: bool
    starter: Mapping[str, Any] | None
    closed: bool
    withdrawal: Mapping[str, Any] | None
    body: Mapping[str, Any]
    known_seconds: float
    claimed_by_run: str | None
    live_document: LiveDocument | None

    @property
    def stage(self) -> Stage:
        """The stage that decides: a withdrawal, a run's cancel and a live document go before what release told."""
        if self.told_stage in _OVER:
            return self.told_stage
        if self.withdrawal is not None:
            return Stage.REVERTING
        if self.closed:
            return Stage.CLOSED
        if self.live_document is not None:
            return Stage.INVOICED
        return self.told_stage


async def upsert_events(connection: Connection, events: Mapping[str, ProjectedEvent]) -> None:
    """Store what facts tell of these events, by id. Locks their rows in the order of their ids."""
    bodies = [event.body for event in events.values()]
    told = list(events.values())
    await connection.execute(
        _UPSERT,
        list(events),
        [event.project_id for event in told],
        [body.get("batch_id") for body in bodies],
        [body.get("account_id") for body in bodies],
        [body.get("company_id") for body in bodies],
        [body["currency"] for body in bodies],
        [body.get("billing_event_currency") for body in bodies],
        [event.date for event in told],
        [body["stage"] for body in bodies],
        [event.summary_amount for event in told],
        [len(body["items"]) for body in bodies],
        [event.job_id for event in told],
        [event.left_to_job for event in told],
        [event.starter for event in told],
        bodies,
    )


async def set_stages(connection: Connection, stages: Mapping[str, Stage]) -> None:
    """Set release's word on these events; ids that are not known are left out. Locks their rows in order."""
    await connection.execute(_SET_STAGES, list(stages), [stage.value for stage in stages.values()])


async def lock_events(connection: Connection, billing_event_ids: Iterable[str]) -> dict[str, StoredEvent]:
    """Lock these events `for no key update` in the order of their ids, then read them and who holds them.

    Keyed by id, in that order; ids that are not known are left out.
    """
    return await _load(connection, _LOCK, billing_event_ids)


async def lock_rows(connection: Connection, billing_event_ids: Iterable[str]) -> None:
    """Lock these events like `lock_events`, without reading them."""
    await connection.fetchval(_LOCK_ONLY, sorted(set(billing_event_ids)))


async def load_events(connection: Reader, billing_event_ids: Iterable[str]) -> dict[str, StoredEvent]:
    """Like `lock_events`, without locking, in no particular order."""
    return await _load(connection, _LOAD, billing_event_ids)


async def close_events(connection: Connection, billing_event_ids: Sequence[str]) -> None:
    """Close these events for good, as a billing run asks; their rows must be locked."""
    await connection.execute(_CLOSE, billing_event_ids)


async def bar_events(connection: Connection, withdrawals: Mapping[str, Mapping[str, Any]]) -> None:
    """Bar events from new documents and keep what their withdrawal came to, by id; their rows must be locked."""
    await connection.execute(_BAR, list(withdrawals), list(withdrawals.values()))


async def leave_to_nobody(connection: Connection, billing_event_ids: Sequence[str]) -> None:
    """Note that the second stage of release and invoice has had these events; their rows must be locked."""
    await connection.execute(_LEAVE_TO_NOBODY, billing_event_ids)


async def _load(
    connection: Reader, statement: str, billing_event_ids: Iterable[str]
) -> dict[str, StoredEvent]:
    ids = sorted(set(billing_event_ids))
    if not ids:
        return {}
    rows = await connection.fetch(statement, ids)
    # A statement of its own, after the locks: who holds the events is read as of then.
    holdings = {row["billing_event_id"]: row for row in await connection.fetch(_HOLDINGS, ids)}
    events = {}
    for row in rows:
        holding = holdings.get(row["billing_event_id"])
        live = None
        if holding is not None and holding["document_id"] is not None:
            live = LiveDocument(
                holding["document_id"], DocumentStatus(holding["status"]), holding["event_count"]
            )
        events[row["billing_event_id"]] = StoredEvent(
            billing_event_id=row["billing_event_id"],
            account_id=row["account_id"],
            company_id=row["company_id"],
            currency=row["currency"],
            told_stage=Stage(row["stage"]),
            item_count=row["item_count"],
            left_to_job=row["left_to_job"],
            starter=row["starter"],
            closed=row["closed"],
            withdrawal=row["withdrawal"],
            body=row["body"],
            known_seconds=row["known_seconds"],
            claimed_by_run=holding["billing_run_id"] if holding is not None else None,
            live_document=live,
        )
    return events
