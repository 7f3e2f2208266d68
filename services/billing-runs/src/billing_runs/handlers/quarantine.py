"""Documents moved to the run's one quarantine run, so that the good ones can be validated (domain.md section 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from billing_runs import facts
from billing_runs.domain.lifecycle import CREATED_BY_QUARANTINE, documents_moved_in
from billing_runs.domain.scope import generated_description
from billing_runs.domain.settings import quarantine_settings
from billing_runs.handlers.session import RunSession, now, open_sessions
from billing_runs.store import run_documents, run_events
from billing_runs.store.run_documents import StoredDocument
from billing_runs.store.runs import StoredRun, insert_run
from shared.ids import ID_LENGTH_MAX, derived_id


async def quarantine(
    session: RunSession,
    documents: Sequence[StoredDocument],
    *,
    action: str,
    starter: Mapping[str, Any] | None,
) -> None:
    """Move locked documents of the session's run, with their events' claims; their verdicts stay as they are."""
    connection = session.work.connection
    run = session.run
    target = await _quarantine_run(session)
    document_ids = [document.document_id for document in documents]
    await run_documents.move_documents(connection, document_ids, target.run.run_id)
    await run_events.move_events(
        connection, from_run_id=run.run_id, to_run_id=target.run.run_id, document_ids=document_ids
    )
    counts, _ = await run_documents.count_documents(connection, target.run.run_id)
    if run.quarantine_run_id is not None:
        target.set_state(documents_moved_in(target.run.state, counts))
        await target.save()
    else:
        await target.tell_status(None)
    session.run = replace(session.run, quarantine_run_id=target.run.run_id)
    for document in documents:
        body = facts.reviewed_body(
            session.run,
            document.document_id,
            document.review,
            document.review,
            action=action,
            quarantine_run_id=target.run.run_id,
            starter=starter,
        )
        session.publish(facts.DOCUMENT_REVIEWED, body)


async def _quarantine_run(session: RunSession) -> RunSession:
    origin = session.run
    if origin.quarantine_run_id is not None:
        opened = await open_sessions(session.work, [origin.quarantine_run_id], session.cause)
        return opened[origin.quarantine_run_id]
    made = StoredRun(
        run_id=quarantine_run_id(origin.run_id),
        settings=quarantine_settings(origin.settings),
        state=CREATED_BY_QUARANTINE,
        description="",
        created_at=now(),
        quarantine_of=origin.run_id,
        starter=origin.starter,
    )
    run = await _insert(session, made)
    created = RunSession(session.work, run, None, session.cause)
    created.publish(facts.RUN_CREATED, facts.run_body(run))
    return created


async def _insert(session: RunSession, made: StoredRun) -> StoredRun:
    for run_id in (made.run_id, derived_id("quarantine", made.run_id)):
        settings = made.settings
        description = generated_description(run_id, settings.scope, settings.invoice_date)
        named = replace(made, run_id=run_id, description=f"{description}, quarantine of {made.quarantine_of}")
        stored = await insert_run(session.work.connection, named, request_hash=None)
        if stored is not None:
            return stored
    raise RuntimeError(f"run {made.quarantine_of} has a quarantine run that it does not name")


def quarantine_run_id(run_id: str) -> str:
    """The id of a run's quarantine run: `R-1.quarantine`, or a derived one where that is too long."""
    readable = f"{run_id}.quarantine"
    return readable if len(readable) <= ID_LENGTH_MAX else derived_id("quarantine", run_id)
