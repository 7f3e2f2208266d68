"""The review of a run's documents: actions on a selection, or on all that matches a filter (domain.md section 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from billing_runs import facts
from billing_runs.domain.approval import is_second_person
from billing_runs.domain.lifecycle import derived
from billing_runs.domain.refusals import RefusalCode
from billing_runs.domain.review import (
    DocumentReview,
    ReviewAction,
    ReviewDecision,
    decide_review,
    rechecked,
)
from billing_runs.handlers.judging import judge_stored, rules_of
from billing_runs.handlers.quarantine import quarantine
from billing_runs.handlers.session import RunSession, open_sessions
from billing_runs.store import document_lists, document_steps, projects, run_documents, unbilled_events
from billing_runs.store.connection import Connection
from billing_runs.store.run_documents import StoredDocument
from shared.contracts.command_fields import ReviewOf
from shared.database.unit_of_work import Cause, UnitOfWork

CHUNK_DECIDED: Final = 5_000
"""Documents of a review that are held in memory at a time; all of them are decided in one transaction."""

CHUNK_DOCUMENTS: Final = 500
NOT_FOUND: Final = "not_found"


@dataclass(frozen=True, slots=True)
class ReviewResult:
    """What came of the action on one document: `done`, `queued`, or `refused` with a code."""

    document_id: str
    result: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who acts on documents: `projects` are those whose documents they may change (None: all), `may_validate` whether
    they may number documents of this run.
    """

    starter: Mapping[str, Any] | None
    projects: frozenset[str] | None = None
    may_validate: bool = True


@dataclass(slots=True)
class _Decisions:
    """The decisions on a selection, sorted by what they take; `no_right`: why the asker may not do it, by document."""

    no_right: Mapping[str, RefusalCode]
    results: list[ReviewResult] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    moved: list[StoredDocument] = field(default_factory=list)
    judged: list[StoredDocument] = field(default_factory=list)
    changed: dict[str, tuple[DocumentReview, DocumentReview]] = field(default_factory=dict)


async def review_documents(
    work: UnitOfWork,
    run_id: str,
    asked: ReviewOf[Any],
    *,
    starter: Mapping[str, Any] | None,
    cause: Cause,
    four_eyes: bool,
    permitted_projects: frozenset[str] | None = None,
) -> list[ReviewResult] | None:
    """Do the action on each selected document; one refusal does not stop the rest. None: the run is not known.

    `four_eyes`: to validate takes another user than the run's creator. `permitted_projects`: whose documents the asker
    may change; None: all. Locks the run, then the documents. A document for which the connector owes an answer takes no
    other action.
    """
    session = (await open_sessions(work, [run_id], cause)).get(run_id)
    if session is None:
        return None
    selected = asked.select.document_ids
    if selected is None:
        selected = await document_lists.matching_ids(work.connection, run_id, asked.select.filter)
    ids = list(dict.fromkeys(selected))
    may_validate = not four_eyes or is_second_person(session.run.starter, starter)
    reviewer = Reviewer(starter, permitted_projects, may_validate)
    results: list[ReviewResult] = []
    for start in range(0, len(ids), CHUNK_DECIDED):
        results += await _review_chunk(session, ids[start : start + CHUNK_DECIDED], asked, reviewer)
        await work.flush()
    await derive_status(session)
    await session.save()
    return results


async def _review_chunk(
    session: RunSession, document_ids: Sequence[str], asked: ReviewOf[Any], reviewer: Reviewer
) -> list[ReviewResult]:
    connection, starter = session.work.connection, reviewer.starter
    documents = await run_documents.lock_documents(connection, document_ids)
    decisions = _Decisions(no_right=await _rights_missing(connection, document_ids, asked, reviewer))
    for document_id in document_ids:
        _decide(session, document_id, documents.get(document_id), asked, decisions)
    if decisions.asked:
        await document_steps.ask(
            connection,
            decisions.asked,
            action=asked.action,
            by=None,
            closes_events=asked.billing_events == "cancel",
            invoice_date=asked.invoice_date,
            starter=starter,
            cause=session.cause,
        )
        session.wake()
    if decisions.moved:
        await quarantine(session, decisions.moved, action=asked.action, starter=starter)
    await _judge_again(session, decisions)
    await run_documents.save_reviews(
        connection, {document_id: after for document_id, (_, after) in decisions.changed.items()}
    )
    for document_id, (before, after) in decisions.changed.items():
        body = facts.reviewed_body(
            session.run, document_id, before, after, action=asked.action, starter=starter
        )
        session.publish(facts.DOCUMENT_REVIEWED, body)
    return decisions.results


async def _rights_missing(
    connection: Connection, document_ids: Sequence[str], asked: ReviewOf[Any], reviewer: Reviewer
) -> dict[str, RefusalCode]:
    if asked.action == "validate" and not reviewer.may_validate:
        return dict.fromkeys(document_ids, RefusalCode.SECOND_PERSON_NEEDED)
    if reviewer.projects is None:
        return {}
    beside = await projects.documents_beside(connection, document_ids, reviewer.projects)
    return dict.fromkeys(beside, RefusalCode.NOT_PERMITTED)


async def derive_status(session: RunSession) -> None:
    """Let the run's status follow its documents, and a worker look what comes next, while no step runs."""
    if session.run.state.step_runs:
        return
    counts, _ = await run_documents.count_documents(session.work.connection, session.run.run_id)
    remainder = await unbilled_events.remainder_of(session.work.connection, session.run.run_id)
    session.set_state(derived(session.run.state, counts, remainder))
    session.wake()


def _decide(
    session: RunSession,
    document_id: str,
    document: StoredDocument | None,
    asked: ReviewOf[Any],
    decisions: _Decisions,
) -> None:
    if document is None or document.run_id != session.run.run_id:
        decisions.results.append(ReviewResult(document_id, "refused", NOT_FOUND))
        return
    if (no_right := decisions.no_right.get(document_id)) is not None:
        decisions.results.append(ReviewResult(document_id, "refused", no_right.value))
        return
    if document.asked is not None:
        again = document.asked.action == asked.action
        code = None if again else RefusalCode.ACTION_NOT_AVAILABLE.value
        decisions.results.append(ReviewResult(document_id, "queued" if again else "refused", code))
        return
    decision = decide_review(
        document.review,
        ReviewAction(asked.action),
        disabled=session.run.state.disabled,
        quarantine_run=session.run.quarantine_of is not None,
        reason=asked.reason,
    )
    if isinstance(decision, RefusalCode):
        decisions.results.append(ReviewResult(document_id, "refused", decision.value))
    else:
        decisions.results.append(ReviewResult(document_id, "queued" if decision.queued else "done"))
        _sort(document, decision, decisions)


def _sort(document: StoredDocument, decision: ReviewDecision, decisions: _Decisions) -> None:
    if decision.queued:
        decisions.asked.append(document.document_id)
    elif decision.moved:
        decisions.moved.append(document)
    elif decision.runs_rules:
        decisions.judged.append(document)
    else:
        decisions.changed[document.document_id] = (document.review, decision.becomes)


async def _judge_again(session: RunSession, decisions: _Decisions) -> None:
    documents: Sequence[StoredDocument] = decisions.judged
    if not documents:
        return
    rules = await rules_of(session.work.connection, session.run)
    for start in range(0, len(documents), CHUNK_DOCUMENTS):
        chunk = documents[start : start + CHUNK_DOCUMENTS]
        bodies = await run_documents.document_bodies(
            session.work.connection, [document.document_id for document in chunk]
        )
        for document in chunk:
            findings = judge_stored(rules, bodies[document.document_id], session.run)
            after = rechecked(document.review, findings)
            if after != document.review:
                decisions.changed[document.document_id] = (document.review, after)
