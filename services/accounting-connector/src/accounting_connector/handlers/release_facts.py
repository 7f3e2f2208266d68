"""Facts of the release service: the projection of billing events, the jobs, and what both set going."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from accounting_connector.domain.billing_events import Stage
from accounting_connector.domain.process_runs import ProcessRunKind
from accounting_connector.handlers.auto_pass import Trigger, take_triggers
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.process_runs import start_or_extend
from accounting_connector.store import billing_events, release_jobs, told_documents
from accounting_connector.store.billing_events import ProjectedEvent
from accounting_connector.store.process_runs import ProcessRun
from accounting_connector.store.release_jobs import CountedJob, JobNews
from accounting_connector.store.told_documents import ToldDocument
from shared.contracts.release_facts import (
    BillingEventChanged,
    BillingEventFact,
    BillingEventInvoiced,
    BillingEventRegistered,
    BillingEventReleased,
    ReleaseJobFact,
)
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.ids import derived_id
from shared.messaging.message import Message

_STAGES_AFTER: Final[Mapping[str, Stage]] = {
    "release.billing-event.deleted.v1": Stage.DELETED,
    "release.billing-event.reverted.v1": Stage.REVERTED,
    "release.billing-event.closed.v1": Stage.CLOSED,
}
HANDLED: Final = frozenset(
    {
        "release.billing-event.registered.v1",
        "release.billing-event.changed.v1",
        "release.billing-event.released.v1",
        "release.billing-event.invoiced.v1",
        "release.job.completed.v1",
        *_STAGES_AFTER,
    }
)
"""`invoiced` only to see whether the document is known: the stage is what the connector's own documents have set."""


class _News:
    """What a batch of facts comes to, in message order."""

    def __init__(self) -> None:
        self.events: dict[str, ProjectedEvent] = {}
        self.stages: dict[str, Stage] = {}
        self.jobs: dict[str, JobNews] = {}
        self.job_causes: dict[str, Cause] = {}
        self.triggers: dict[str, Trigger] = {}
        self.documents: list[ToldDocument] = []

    def add(self, message: Message) -> None:
        body = message.body
        if isinstance(body, BillingEventReleased | BillingEventRegistered | BillingEventChanged):
            self._add_event(message, body)
        elif isinstance(body, ReleaseJobFact):
            job = self.jobs.get(body.job_id, JobNews())
            self.jobs[body.job_id] = replace(
                job,
                released_told=body.released,
                and_invoice=body.and_invoice,
                starter=_starter(body),
            )
            self.job_causes[body.job_id] = message.cause
        elif isinstance(body, BillingEventInvoiced):
            told = ToldDocument(
                body.document_id, body.billing_event_id, body.invoice_number, body.invoice_date
            )
            self.documents.append(told)
        elif isinstance(body, BillingEventFact):
            self.stages[body.billing_event_id] = _STAGES_AFTER[message.type]
            self.triggers.pop(body.billing_event_id, None)

    def _add_event(
        self, message: Message, body: BillingEventReleased | BillingEventRegistered | BillingEventChanged
    ) -> None:
        event_id = body.billing_event.billing_event_id
        before = self.events.get(event_id)
        is_release = isinstance(body, BillingEventReleased)
        job_id = body.job_id if isinstance(body, BillingEventReleased) else None
        left_to_job = isinstance(body, BillingEventReleased) and body.and_invoice and job_id is not None
        told = message.content["billing_event"]
        self.events[event_id] = ProjectedEvent(
            body=told,
            project_id=body.billing_event.project_id,
            date=body.billing_event.date,
            summary_amount=body.billing_event.summary_amount,
            job_id=job_id or (before.job_id if before else None),
            left_to_job=left_to_job or (before is not None and before.left_to_job),
            starter=_starter(body) or (before.starter if before else None),
        )
        self.stages.pop(event_id, None)
        if is_release and job_id is not None:
            self.jobs[job_id] = _one_more(self.jobs.get(job_id, JobNews()))
            self.job_causes.setdefault(job_id, message.cause)
        self._note_trigger(message, told, is_release=is_release, job_id=job_id, starter=_starter(body))

    def _note_trigger(
        self,
        message: Message,
        told: Mapping[str, Any],
        *,
        is_release: bool,
        job_id: str | None,
        starter: Mapping[str, Any] | None,
    ) -> None:
        """Note an event that may have become eligible and may want to be passed by itself."""
        event_id = told["billing_event_id"]
        may_want = told.get("auto_pass_to_accounting") is True or told.get("fields")
        if told["stage"] != Stage.RELEASED or not may_want:
            self.triggers.pop(event_id, None)
            return
        before = self.triggers.get(event_id)
        if before is not None and before.is_release:
            return
        act = message.id if is_release else message.envelope.causation_id or message.id
        self.triggers[event_id] = Trigger(act, is_release, job_id, starter, message.cause)


async def handle_release_facts(work: UnitOfWork, messages: Sequence[Message], deployment: Deployment) -> None:
    """Keep what the facts tell; start release and invoice's second stage; pass what is to be passed by itself."""
    news = _News()
    for message in messages:
        news.add(message)
    if news.events:
        await billing_events.upsert_events(work.connection, news.events)
    if news.stages:
        await billing_events.set_stages(work.connection, news.stages)
    if news.jobs:
        for job in await release_jobs.advance(work.connection, news.jobs):
            if job.and_invoice:
                second_stage = _second_stage(job, news.job_causes[job.job_id], deployment)
                await start_or_extend(work, second_stage, job.job_id)
    if news.documents:
        await told_documents.note_unknown(work.connection, news.documents)
    if news.triggers:
        await take_triggers(work, deployment, news.triggers)


def _second_stage(job: CountedJob, cause: Cause, deployment: Deployment) -> ProcessRun:
    return ProcessRun(
        process_run_id=derived_id("process-run", job.job_id),
        kind=ProcessRunKind.RELEASE_AND_INVOICE,
        name=f"Release and invoice {job.job_id}",
        selection={"job_id": job.job_id},
        starter=job.starter,
        cause=cause,
        unknown_wait_seconds=deployment.command_wait_seconds,
        job_id=job.job_id,
    )


def _one_more(job: JobNews) -> JobNews:
    return replace(job, released_read=job.released_read + 1)


def _starter(body: Any) -> dict[str, Any] | None:
    starter = body.starter
    return None if starter is None else {"user_id": starter.user_id, "email": starter.email}
