"""What comes of a run's process run: drafts, events not passed, and the count of both."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from billing_runs import facts
from billing_runs.domain.books import Fate
from billing_runs.domain.executions import LogLine, Step
from billing_runs.domain.review import reviewed_by_rules
from billing_runs.domain.rules import DocumentKind, Rule
from billing_runs.facts import reason_bodies
from billing_runs.handlers.engine import give_up
from billing_runs.handlers.judging import FIELD_NAMES, judge, rules_of
from billing_runs.handlers.review import derive_status
from billing_runs.handlers.session import DRAFTING, RunSession, in_words, is_answered, warning
from billing_runs.handlers.steps.invoices import CHUNK_EVENTS, let_failed_go
from billing_runs.store import executions, run_documents, run_events
from billing_runs.store.run_documents import StoredDocument
from shared.contracts.document import DocumentHead
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.message import Message
from shared.money import exact_sum, format_amount

BELOW_THRESHOLD: Final = "below_threshold"


async def take_drafted(
    work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message]
) -> None:
    """Keep the drafts, judged by the rules; one that is known already changes nothing."""
    by_run: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        if message.body.billing_run_id in sessions:
            by_run[message.body.billing_run_id].append(message)
    for run_id, drafted in by_run.items():
        session = sessions[run_id]
        rules = await rules_of(work.connection, session.run)
        stored = [_stored(message.body, message.content, session, rules) for message in drafted]
        contents = [_kept(message.content) for message in drafted]
        new = await run_documents.insert_documents(work.connection, list(zip(stored, contents, strict=True)))
        fresh = [message.body for message in drafted if message.body.document_id in new]
        pairs = [(event_id, draft.document_id) for draft in fresh for event_id in draft.billing_event_ids]
        await run_events.link_documents(work.connection, run_id, pairs)
        _publish_verdicts(session, [each for each in stored if each.document_id in new])
        _count_drafts(session, fresh)
        await derive_status(session)


def _kept(content: Mapping[str, Any]) -> dict[str, Any]:
    """The document as it was told, which is how rules see it again."""
    return {name: content[name] for name in FIELD_NAMES if name in content}


def _stored(
    draft: DocumentHead, content: Mapping[str, Any], session: RunSession, rules: Sequence[Rule]
) -> StoredDocument:
    return StoredDocument(
        document_id=draft.document_id,
        run_id=session.run.run_id,
        drafted_by_run_id=session.run.run_id,
        kind=DocumentKind(draft.kind),
        status="draft",
        review=reviewed_by_rules(judge(rules, draft, content, session.run)),
        number=draft.number,
        date=draft.date,
        currency=draft.currency,
        account_id=draft.account.id,
        company_id=draft.company.id,
        total_net=draft.total_net,
        total_gross=draft.total_gross,
        process_run_id=draft.process_run_id,
        left_out_items=len(draft.left_out_items),
        left_out_amount=exact_sum(item.amount for item in draft.left_out_items),
    )


def _publish_verdicts(session: RunSession, documents: Sequence[StoredDocument]) -> None:
    for document in documents:
        body = facts.reviewed_body(
            session.run, document.document_id, None, document.review, action=None, starter=None
        )
        session.publish(facts.DOCUMENT_REVIEWED, body)


def _count_drafts(session: RunSession, fresh: Sequence[DocumentHead]) -> None:
    if not session.is_running:
        return
    if session.execution.step is Step.INVOICES:
        # A draft of an earlier process run of this run may come late; it is kept, but not counted here.
        own = [each for each in fresh if each.process_run_id in {None, session.execution.process_run_id}]
        session.update(documents_seen=session.execution.documents_seen + len(own))
        lines = [line for each in own for line in _left_out_lines(each)]
        session.progress(done=sum(len(each.billing_event_ids) for each in own), lines=lines)
    if is_answered(session.execution):
        session.wake()


def _left_out_lines(draft: DocumentHead) -> list[LogLine]:
    """A warning for each event of which the draft leaves out items, with their number and amount."""
    amounts: dict[str, list[Decimal]] = {}
    for item in draft.left_out_items:
        amounts.setdefault(item.billing_event_id, []).append(item.amount)
    return [
        warning(
            f"items_left_out: {len(left_out)} of its items, {format_amount(exact_sum(left_out), draft.currency)}"
            f" {draft.currency}, do not meet the company's item criteria",
            event_id,
        )
        for event_id, left_out in amounts.items()
    ]


async def take_not_passed(
    work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message]
) -> None:
    """No document was made of these events: they are below the threshold, or failed; the log says why."""
    runs_by_process_run = await executions.runs_of_process_runs(
        work.connection, [message.body.process_run_id for message in messages]
    )
    by_run: dict[str, list[Any]] = defaultdict(list)
    for message in messages:
        run_id = runs_by_process_run.get(message.body.process_run_id)
        if run_id is not None:
            by_run[run_id].append(message.body)
    for run_id, bodies in by_run.items():
        session = sessions[run_id]
        fates = {body.billing_event_id: _fate(body) for body in bodies}
        settled = await run_events.mark_not_passed(work.connection, run_id, fates)
        if not session.is_running or session.execution.step is not Step.INVOICES:
            await _settle_late(session, settled)
            continue
        own = [each for each in bodies if each.process_run_id == session.execution.process_run_id]
        accounts = await run_events.accounts_of(work.connection, settled)
        lines = [
            warning(_said(accounts.get(event_id), fates[event_id][1]), event_id)
            for event_id in sorted(settled)
        ]
        session.update(not_passed_seen=session.execution.not_passed_seen + len(own))
        session.progress(done=len(settled), lines=lines)
        if is_answered(session.execution):
            session.wake()


async def _settle_late(session: RunSession, settled: frozenset[str]) -> None:
    """What was pending when its step ended is not to be billed by the run: it goes where that leads."""
    if not settled:
        return
    while await let_failed_go(session, limit=CHUNK_EVENTS):
        pass
    await derive_status(session)


def _fate(body: Any) -> tuple[Fate, list[dict[str, Any]]]:
    codes = {reason.code for reason in body.reasons}
    fate = Fate.BELOW_THRESHOLD if BELOW_THRESHOLD in codes else Fate.FAILED
    return fate, reason_bodies(body.reasons)


def _said(account_id: str | None, reasons: Sequence[Mapping[str, Any]]) -> str:
    return f"account {account_id}: {in_words(reasons)}" if account_id is not None else in_words(reasons)


async def take_process_run_completed(
    work: UnitOfWork, sessions: Mapping[str, RunSession], messages: Sequence[Message]
) -> None:
    """The process run says how many facts it published; one that failed fails the step."""
    runs_by_process_run = await executions.runs_of_process_runs(
        work.connection, [message.body.process_run_id for message in messages]
    )
    for message in messages:
        body = message.body
        session = sessions.get(runs_by_process_run.get(body.process_run_id, ""))
        if session is None or not session.is_running:
            continue
        if session.execution.process_run_id != body.process_run_id:
            continue
        if body.status == "failed":
            await give_up(session, f"process run {body.process_run_id} failed")
            continue
        if session.execution.phase != DRAFTING:
            continue  # told once more, since nothing of it is pending any more
        session.update(
            documents_expected=body.invoices + body.credit_notes,
            not_passed_expected=body.not_passed,
            pending_expected=body.pending,
        )
        if is_answered(session.execution):
            session.wake()
