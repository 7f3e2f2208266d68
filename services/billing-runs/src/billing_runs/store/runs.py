"""Billing runs as they are stored: created, locked, read and changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import asyncpg

from billing_runs.domain.lifecycle import ExecutionState, RunState, Status
from billing_runs.domain.scope import RunKind
from billing_runs.domain.settings import (
    Grouping,
    OnRejected,
    OnSuspect,
    ProcessType,
    RunSettings,
    Threshold,
)
from billing_runs.store.connection import Connection, Reader
from billing_runs.store.scopes import scope_body, scope_of

_INSERT: Final = """
insert into runs (run_id, kind, process_type, scope, invoice_date, collection_date, grouping, skip_validation_rules,
  recompute_dates_at_validation, incremental, on_rejected, on_suspect, release_first, threshold_amount,
  threshold_currency, description, request_hash, status, execution, disabled, due, quarantine_of, starter)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
on conflict do nothing
returning created_at
"""
_LOCK: Final = "select * from runs where run_id = any($1::text[]) order by run_id for no key update"
_LOCK_DUE: Final = """
select * from runs where due and run_id > $1 order by run_id limit 1 for no key update skip locked
"""
_LOAD: Final = "select * from runs where run_id = $1"
_LIST: Final = """
select * from runs
where ($1::text is null or status = $1) and ($2::text is null or kind = $2)
  and ($3::timestamptz is null or (created_at, run_id) < ($3, $4))
order by created_at desc, run_id desc limit $5
"""
_UPDATE: Final = """
update runs set status = $2, execution = $3, disabled = $4, due = $5, description = $6, quarantine_run_id = $7
where run_id = $1
"""
_REQUEST_HASH: Final = "select request_hash from runs where run_id = $1"
_KNOWN: Final = "select run_id from runs where run_id = any($1::text[])"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A billing run: its settings, where it is, its description, and its links to and from quarantine.

    `due`: a worker has something to do for it. `starter` is who created it.
    """

    run_id: str
    settings: RunSettings
    state: RunState
    description: str
    created_at: datetime
    due: bool = False
    quarantine_run_id: str | None = None
    quarantine_of: str | None = None
    starter: Mapping[str, Any] | None = None


async def insert_run(
    connection: Connection, run: StoredRun, *, request_hash: bytes | None
) -> StoredRun | None:
    """Store a new run, whose row is locked until the transaction ends; None: there is one with this id already."""
    settings = run.settings
    threshold = settings.threshold
    created_at = await connection.fetchval(
        _INSERT,
        run.run_id,
        settings.kind,
        settings.process_type,
        scope_body(settings.scope),
        settings.invoice_date,
        settings.collection_date,
        settings.grouping,
        settings.skip_validation_rules,
        settings.recompute_dates_at_validation,
        settings.incremental,
        settings.on_rejected,
        settings.on_suspect,
        settings.release_first,
        threshold.amount if threshold is not None else None,
        threshold.currency if threshold is not None else None,
        run.description,
        request_hash,
        run.state.status,
        run.state.execution,
        run.state.disabled,
        run.due,
        run.quarantine_of,
        run.starter,
    )
    return replace(run, created_at=created_at) if created_at is not None else None


async def lock_runs(connection: Connection, run_ids: Iterable[str]) -> dict[str, StoredRun]:
    """Lock the runs with these ids `for no key update`, in the order of their ids; those not known are left out."""
    rows = await connection.fetch(_LOCK, sorted(set(run_ids)))
    return {row["run_id"]: _run_of(row) for row in rows}


async def lock_due_run(connection: Connection, *, after: str) -> StoredRun | None:
    """Lock the next run after this id for which a worker has something to do and that nobody else holds, or None."""
    row = await connection.fetchrow(_LOCK_DUE, after)
    return _run_of(row) if row is not None else None


async def load_run(connection: Reader, run_id: str) -> StoredRun | None:
    """A run, without locking it."""
    row = await connection.fetchrow(_LOAD, run_id)
    return _run_of(row) if row is not None else None


async def list_runs(
    connection: Reader,
    *,
    status: str | None,
    kind: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[StoredRun]:
    """Runs from the latest to the oldest, after the one with this creation time and id."""
    created_at, run_id = after if after is not None else (None, None)
    rows = await connection.fetch(_LIST, status, kind, created_at, run_id, limit)
    return [_run_of(row) for row in rows]


async def update_run(connection: Connection, run: StoredRun) -> None:
    """Write what may change of a locked run."""
    state = run.state
    await connection.execute(
        _UPDATE,
        run.run_id,
        state.status,
        state.execution,
        state.disabled,
        run.due,
        run.description,
        run.quarantine_run_id,
    )


async def request_hash_of(connection: Reader, run_id: str) -> bytes | None:
    """The hash of the request that created a run."""
    request_hash: bytes | None = await connection.fetchval(_REQUEST_HASH, run_id)
    return request_hash


async def known_run_ids(connection: Reader, run_ids: Iterable[str]) -> frozenset[str]:
    """Those of these ids that are runs."""
    rows = await connection.fetch(_KNOWN, list(set(run_ids)))
    return frozenset(row["run_id"] for row in rows)


def _run_of(row: "asyncpg.Record") -> StoredRun:
    currency = row["threshold_currency"]
    return StoredRun(
        run_id=row["run_id"],
        settings=RunSettings(
            kind=RunKind(row["kind"]),
            scope=scope_of(row["scope"]),
            invoice_date=row["invoice_date"],
            process_type=ProcessType(row["process_type"]),
            collection_date=row["collection_date"],
            grouping=Grouping(row["grouping"]),
            skip_validation_rules=row["skip_validation_rules"],
            recompute_dates_at_validation=row["recompute_dates_at_validation"],
            incremental=row["incremental"],
            on_rejected=OnRejected(row["on_rejected"]),
            on_suspect=OnSuspect(row["on_suspect"]),
            release_first=row["release_first"],
            threshold=Threshold(row["threshold_amount"], currency) if currency is not None else None,
        ),
        state=RunState(Status(row["status"]), ExecutionState(row["execution"]), row["disabled"]),
        description=row["description"],
        created_at=row["created_at"],
        due=row["due"],
        quarantine_run_id=row["quarantine_run_id"],
        quarantine_of=row["quarantine_of"],
        starter=row["starter"],
    )
