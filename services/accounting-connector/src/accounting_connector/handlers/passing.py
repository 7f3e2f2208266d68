"""The one path from billing events to documents, whatever the way in (domain.md section 4)."""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from accounting_connector.domain.assessment import excess_of
from accounting_connector.domain.corrections import Original
from accounting_connector.domain.dates import DateFinding
from accounting_connector.domain.documents import Document, DocumentStatus, draft_document
from accounting_connector.domain.eligibility import Terms
from accounting_connector.domain.grouping import group_for_documents, threshold_reason
from accounting_connector.domain.process_runs import (
    LogEntry,
    LogResult,
    already_done_entry,
    document_entries,
    not_passed_entry,
    pending_entry,
)
from accounting_connector.domain.reasons import Reason
from accounting_connector.handlers.assessing import INTERNAL_ERROR, Assessed
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.numbering import (
    SeriesOwner,
    check_dates,
    validate_drafts,
    with_date_warnings,
)
from accounting_connector.handlers.publishing import publish_document
from accounting_connector.store import corrections, documents, holdings
from accounting_connector.store.documents import StoredDocument
from accounting_connector.store.process_runs import ProcessRun
from accounting_connector.store.reason_bodies import reason_bodies
from shared.database.unit_of_work import UnitOfWork
from shared.ids import new_id

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Passed:
    """What came of a run's events: its new documents, and a log entry for every event that was decided."""

    documents: list[Document] = field(default_factory=list)
    entries: list[LogEntry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Draft:
    run: ProcessRun
    group: tuple[Assessed, ...]
    document: Document

    @property
    def event_ids(self) -> tuple[str, ...]:
        return self.document.billing_event_ids


def terms_of(run: ProcessRun, deployment: Deployment) -> Terms:
    """The terms on which a run asks for documents."""
    return replace(
        deployment.terms, asked_by_run=run.billing_run_id, permitted_projects=run.permitted_projects
    )


async def pass_events(
    work: UnitOfWork,
    deployment: Deployment,
    orders: Sequence[tuple[ProcessRun, Sequence[Assessed]]],
    *,
    more_follow: bool = False,
) -> dict[str, Passed]:
    """Make documents of events on behalf of runs, all at once; what came of it, by process run id.

    The events' rows must be locked, and the events assessed after that. An event with a live document is already done;
    one with reasons is not passed; the others get documents, which are numbered here where the run validates.
    `more_follow`: events of a group that is still open are left undecided. Publishes the documents and what was not
    passed; the process runs themselves are the caller's to tell of.
    """
    results = {run.process_run_id: Passed() for run, _ in orders}
    originals = await _lock_originals(work, orders)
    drafts: list[_Draft] = []
    for run, events in orders:
        drafts += _plan(
            run, events, deployment, results[run.process_run_id], originals, more_follow=more_follow
        )
    drafts = await _take_live(work, drafts, deployment, results, originals)
    drafts = await _validate(work, drafts, deployment, results)
    drafts = await _warn_of_dates(work, drafts, deployment)
    if drafts:
        stored = [
            StoredDocument(draft.document, draft.run.process_run_id, draft.run.starter) for draft in drafts
        ]
        await documents.insert_documents(work.connection, stored)
        for draft, made in zip(drafts, stored, strict=True):
            publish_document(work, made, draft.run.cause)
    for draft in drafts:
        passed = results[draft.run.process_run_id]
        passed.documents.append(draft.document)
        passed.entries.extend(document_entries(draft.document))
    await _end_claims(work, drafts, orders, results)
    for run, _ in orders:
        publish_not_passed(work, run, results[run.process_run_id].entries)
    return results


async def _lock_originals(
    work: UnitOfWork, orders: Sequence[tuple[ProcessRun, Sequence[Assessed]]]
) -> dict[str, Original]:
    """The documents that these events correct, locked, with what is left of them now."""
    corrected = [
        event.assessment.corrects
        for _, events in orders
        for event in events
        if event.assessment is not None and event.stored.live_document is None
    ]
    ids = {original.document_id for original in corrected if original is not None}
    return await corrections.lock_originals(work.connection, ids)


def _plan(
    run: ProcessRun,
    events: Sequence[Assessed],
    deployment: Deployment,
    passed: Passed,
    originals: dict[str, Original],
    *,
    more_follow: bool,
) -> list[_Draft]:
    """Sort the events out: entries for what is decided already, drafts for the rest.

    `originals` follow: what one correction takes, the next one cannot.
    """
    passable: dict[str, Assessed] = {}
    for event in events:
        live = event.stored.live_document
        if live is not None:
            passed.entries.append(already_done_entry(event.stored.billing_event_id, live.document_id))
        elif event.assessment is None:
            passed.entries.append(pending_entry(event.stored.billing_event_id, event.reasons))
        elif event.reasons:
            passed.entries.append(not_passed_entry(event.stored.billing_event_id, event.reasons))
        else:
            passable[event.stored.billing_event_id] = event
    assessments = [event.assessment for event in passable.values() if event.assessment is not None]
    groups = group_for_documents(
        assessments, run.grouping, deployment.terms.max_lines, more_follow=more_follow
    )
    drafts = []
    for group in groups:
        members = tuple(passable[assessment.candidate.event.billing_event_id] for assessment in group)
        draft = _draft(run, members, deployment, passed, originals)
        if draft is not None:
            drafts.append(draft)
    return drafts


def _draft(
    run: ProcessRun,
    group: tuple[Assessed, ...],
    deployment: Deployment,
    passed: Passed,
    originals: dict[str, Original],
) -> _Draft | None:
    """The draft of one document; None, with entries, if it is refused or cannot be made now."""
    assessments = [event.assessment for event in group if event.assessment is not None]
    corrects = assessments[0].corrects
    original = None if corrects is None else originals[corrects.document_id]
    try:
        reason = None if original is None else excess_of(assessments, original)
        if reason is not None:
            _refuse(group, reason, passed)
            return None
        document = draft_document(
            new_id(),
            assessments,
            terms_of(run, deployment),
            invoice_date=run.invoice_date,
            collection_date=run.collection_date,
            original=original,
        )
        reason = threshold_reason(document, run.threshold)
    except Exception:
        event_ids = [event.stored.billing_event_id for event in group]
        log.exception("document could not be made", billing_event_ids=event_ids[:20])
        passed.entries.extend(pending_entry(event_id, (INTERNAL_ERROR,)) for event_id in event_ids)
        return None
    if reason is not None:
        _refuse(group, reason, passed)
        return None
    if original is not None:
        originals[original.document_id] = original.after(document.taxes)
    return _Draft(run, group, document)


def _refuse(group: tuple[Assessed, ...], reason: Reason, passed: Passed) -> None:
    passed.entries.extend(not_passed_entry(event.stored.billing_event_id, (reason,)) for event in group)


async def _take_live(
    work: UnitOfWork,
    drafts: list[_Draft],
    deployment: Deployment,
    results: dict[str, Passed],
    originals: dict[str, Original],
) -> list[_Draft]:
    """Make the drafts their events' live documents; what another document was faster with is already done."""
    taken: list[_Draft] = []
    while drafts:
        wanted = {event_id: draft.document.document_id for draft in drafts for event_id in draft.event_ids}
        lost = await holdings.take_live(work.connection, wanted)
        taken += [draft for draft in drafts if not lost.keys() & set(draft.event_ids)]
        broken = [draft for draft in drafts if lost.keys() & set(draft.event_ids)]
        if not broken:
            break
        await holdings.end_live(work.connection, [draft.document.document_id for draft in broken])
        drafts = []
        for draft in broken:
            passed = results[draft.run.process_run_id]
            passed.entries.extend(
                already_done_entry(event_id, lost[event_id])
                for event_id in draft.event_ids
                if event_id in lost
            )
            left = tuple(event for event in draft.group if event.stored.billing_event_id not in lost)
            again = _draft(draft.run, left, deployment, passed, originals) if left else None
            drafts += [again] if again is not None else []
    return taken


async def _validate(
    work: UnitOfWork, drafts: list[_Draft], deployment: Deployment, results: dict[str, Passed]
) -> list[_Draft]:
    """Number the drafts of the runs that validate at once; those whose date is refused are not passed."""
    today = deployment.today()
    wanted = [(draft.document, draft.run.invoice_date or today) for draft in drafts if draft.run.validates]
    if not wanted:
        return drafts
    numbered = await validate_drafts(work.connection, wanted, today=today)
    if numbered.refused:
        await holdings.end_live(work.connection, list(numbered.refused))
    validated = {document.document_id: document for document in numbered.validated}
    kept = []
    for draft in drafts:
        reasons = numbered.refused.get(draft.document.document_id)
        if reasons is None:
            kept.append(replace(draft, document=validated.get(draft.document.document_id, draft.document)))
            continue
        passed = results[draft.run.process_run_id]
        passed.entries.extend(not_passed_entry(event_id, reasons) for event_id in draft.event_ids)
    return kept


async def _warn_of_dates(work: UnitOfWork, drafts: list[_Draft], deployment: Deployment) -> list[_Draft]:
    """Drafts say what their date will be refused for, or is to be looked at, when they get their number."""
    dated: dict[datetime.date, set[str]] = {}
    for draft in drafts:
        if not draft.run.validates and draft.document.date is not None:
            dated.setdefault(draft.document.date, set()).add(draft.document.company.id)
    found = {
        day: await check_dates(work.connection, company_ids, day, today=deployment.today())
        for day, company_ids in dated.items()
    }
    return [
        draft if draft.run.validates else replace(draft, document=_warned(draft.document, found))
        for draft in drafts
    ]


def _warned(document: Document, found: dict[datetime.date, dict[SeriesOwner, DateFinding]]) -> Document:
    if document.date is None:
        return document
    finding = found[document.date][document.company.id, document.kind]
    return with_date_warnings(document, (*finding.reasons, *finding.warnings))


async def _end_claims(
    work: UnitOfWork,
    drafts: Iterable[_Draft],
    orders: Iterable[tuple[ProcessRun, Sequence[Assessed]]],
    results: dict[str, Passed],
) -> None:
    """A claim ends by validation, or by the threshold: such an event is free again (domain.md section 5)."""
    ended = [
        event_id
        for draft in drafts
        if draft.run.billing_run_id is not None and draft.document.status is DocumentStatus.VALIDATED
        for event_id in draft.event_ids
    ]
    for run, _ in orders:
        if run.threshold is not None and run.billing_run_id is not None:
            ended += [
                entry.billing_event_id
                for entry in results[run.process_run_id].entries
                if any(reason.code == "below_threshold" for reason in entry.reasons)
            ]
    if ended:
        await holdings.end_claims(work.connection, ended)


def publish_not_passed(work: UnitOfWork, run: ProcessRun, entries: Iterable[LogEntry]) -> None:
    """Tell of the events among these entries that got no document."""
    for entry in entries:
        if entry.result is LogResult.ERROR:
            body = {
                "billing_event_id": entry.billing_event_id,
                "process_run_id": run.process_run_id,
                "billing_run_id": run.billing_run_id,
                "reasons": reason_bodies(entry.reasons),
                "starter": run.starter,
            }
            work.publish("accounting.billing-event.not-passed.v1", entry.billing_event_id, body, run.cause)
