"""Every message type: its topic, its body's model, and what keys it (contract.md section 1)."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel

from shared.contracts import (
    accounting_facts,
    billing_runs_facts,
    commands,
    document,
    facts,
    notifier_facts,
    psa,
    release_facts,
    topics,
)

BodyModel = type[BaseModel]


@dataclass(frozen=True, slots=True)
class MessageType:
    """One type of message.

    `key_field` is where in its body the record's key stands: a path, or several within braces. A fact about a billing
    event whose project is not known has no such field; its key is the billing event's id.
    """

    type: str
    topic: str
    body_model: BodyModel
    key_field: str
    description: str


def _on(topic: str, *rows: tuple[str, BodyModel, str]) -> Iterable[MessageType]:
    """The types of one topic: each its name, its model and its key; the model's docstring describes it."""
    for name, body_model, key_field in rows:
        yield MessageType(name, topic, body_model, key_field, inspect.getdoc(body_model) or "")


CATALOGUE: Final[Mapping[str, MessageType]] = MappingProxyType(
    {
        entry.type: entry
        for entry in chain(
            _on(
                topics.PSA_PROJECTS,
                ("psa.project.upserted.v1", psa.ProjectUpserted, "project_id"),
            ),
            _on(
                topics.PSA_ACCOUNTS,
                ("psa.account.upserted.v1", psa.AccountUpserted, "account_id"),
            ),
            _on(
                topics.PSA_COMPANIES,
                ("psa.company.upserted.v1", psa.CompanyUpserted, "company_id"),
            ),
            _on(
                topics.PSA_EXCHANGE_RATES,
                ("psa.exchange-rate.upserted.v1", psa.ExchangeRateUpserted, "{from}-{to}"),
            ),
            _on(
                topics.PSA_BUSINESS_RECORDS,
                ("psa.business-record.upserted.v1", psa.BusinessRecordUpserted, "record_id"),
            ),
            _on(
                topics.PSA_BILLING_EVENTS,
                ("psa.billing-event.generated.v1", psa.BillingEventGenerated, "project_id"),
                ("psa.billing-event.deleted.v1", psa.BillingEventDeleted, "project_id"),
            ),
            _on(
                topics.RELEASE_COMMANDS,
                ("release.billing-event.release.v1", commands.ReleaseBillingEvent, "billing_event_id"),
                ("release.billing-event.revert.v1", commands.RevertBillingEvent, "billing_event_id"),
                (
                    "release.billing-event.recalculate.v1",
                    commands.RecalculateBillingEvent,
                    "billing_event_id",
                ),
                ("release.billing-event.hold.v1", commands.HoldBillingEvent, "billing_event_id"),
                ("release.billing-event.fill.v1", commands.FillBillingEvent, "billing_event_id"),
                ("release.job.start.v1", commands.StartReleaseJob, "job_id"),
                ("release.job.stop.v1", commands.StopReleaseJob, "job_id"),
            ),
            _on(
                topics.ACCOUNTING_COMMANDS,
                ("accounting.process-run.start.v1", commands.StartProcessRun, "process_run_id"),
                ("accounting.billing-events.claim.v1", commands.ClaimBillingEvents, "billing_run_id"),
                ("accounting.billing-events.unclaim.v1", commands.UnclaimBillingEvents, "billing_run_id"),
                (
                    "accounting.billing-events.withdraw.v1",
                    commands.WithdrawBillingEvents,
                    "billing_event_ids[0]",
                ),
                ("accounting.documents.validate.v1", commands.ValidateDocuments, "document_ids[0]"),
                ("accounting.documents.cancel.v1", commands.CancelDocuments, "document_ids[0]"),
                ("accounting.documents.render.v1", commands.RenderDocuments, "document_ids[0]"),
            ),
            _on(
                topics.BILLING_RUNS_COMMANDS,
                ("billing-runs.run.create.v1", commands.CreateRun, "run_id"),
                ("billing-runs.run.process.v1", commands.ProcessRun, "run_id"),
                ("billing-runs.run.close.v1", commands.CloseRun, "run_id"),
                ("billing-runs.run.enable.v1", commands.EnableRun, "run_id"),
                ("billing-runs.run.disable.v1", commands.DisableRun, "run_id"),
                ("billing-runs.run.render.v1", commands.RenderRun, "run_id"),
                ("billing-runs.run.cancel.v1", commands.CancelRun, "run_id"),
                ("billing-runs.run.describe.v1", commands.DescribeRun, "run_id"),
                ("billing-runs.documents.review.v1", commands.ReviewDocuments, "run_id"),
            ),
            _on(
                topics.RELEASE_EVENTS,
                (
                    "release.billing-event.registered.v1",
                    release_facts.BillingEventRegistered,
                    "billing_event.project_id",
                ),
                (
                    "release.billing-event.changed.v1",
                    release_facts.BillingEventChanged,
                    "billing_event.project_id",
                ),
                ("release.billing-event.deleted.v1", release_facts.BillingEventDeleted, "project_id"),
                (
                    "release.billing-event.released.v1",
                    release_facts.BillingEventReleased,
                    "billing_event.project_id",
                ),
                (
                    "release.billing-event.billed-again.v1",
                    release_facts.BillingEventBilledAgain,
                    "project_id",
                ),
                ("release.billing-event.split.v1", release_facts.BillingEventSplit, "project_id"),
                ("release.billing-event.refused.v1", release_facts.BillingEventRefused, "project_id"),
                ("release.billing-event.invoiced.v1", release_facts.BillingEventInvoiced, "project_id"),
                ("release.billing-event.left-out.v1", release_facts.BillingEventLeftOut, "project_id"),
                (
                    "release.billing-event.category-mismatch.v1",
                    release_facts.CategoryMismatch,
                    "project_id",
                ),
                ("release.billing-event.waits.v1", release_facts.BillingEventWaits, "project_id"),
                ("release.billing-event.reverted.v1", release_facts.BillingEventReverted, "project_id"),
                ("release.billing-event.closed.v1", release_facts.BillingEventClosed, "project_id"),
                ("release.business-records.billed.v1", release_facts.BusinessRecordsBilled, "project_id"),
                ("release.cap.threshold-crossed.v1", release_facts.CapThresholdCrossed, "project_id"),
                (
                    "release.cap.configuration-conflict.v1",
                    release_facts.CapConfigurationConflict,
                    "project_id",
                ),
                (
                    "release.reconciliation.difference-found.v1",
                    facts.ReconciliationDifferenceFound,
                    "reconciliation_id",
                ),
                ("release.work.pending.v1", facts.WorkPending, "id"),
                ("release.work.recovered.v1", facts.WorkRecovered, "id"),
                ("release.job.started.v1", release_facts.ReleaseJobFact, "job_id"),
                ("release.job.progressed.v1", release_facts.ReleaseJobFact, "job_id"),
                ("release.job.completed.v1", release_facts.ReleaseJobFact, "job_id"),
            ),
            _on(
                topics.ACCOUNTING_EVENTS,
                ("accounting.document.drafted.v1", document.Document, "document_id"),
                ("accounting.document.validated.v1", document.Document, "document_id"),
                ("accounting.document.cancelled.v1", document.Document, "document_id"),
                ("accounting.document.rendered.v1", accounting_facts.DocumentRendered, "document_id"),
                (
                    "accounting.document.render-failed.v1",
                    accounting_facts.DocumentRenderFailed,
                    "document_id",
                ),
                ("accounting.document.refused.v1", accounting_facts.DocumentRefused, "document_id"),
                (
                    "accounting.billing-event.not-passed.v1",
                    accounting_facts.BillingEventNotPassed,
                    "billing_event_id",
                ),
                (
                    "accounting.billing-events.claimed.v1",
                    accounting_facts.BillingEventsClaimed,
                    "billing_run_id",
                ),
                (
                    "accounting.billing-events.unclaimed.v1",
                    accounting_facts.BillingEventsUnclaimed,
                    "billing_run_id",
                ),
                (
                    "accounting.billing-event.withdrawn.v1",
                    accounting_facts.BillingEventWithdrawn,
                    "billing_event_id",
                ),
                (
                    "accounting.billing-event.withdraw-refused.v1",
                    accounting_facts.BillingEventWithdrawRefused,
                    "billing_event_id",
                ),
                (
                    "accounting.company.settings-changed.v1",
                    accounting_facts.CompanySettingsChanged,
                    "company_id",
                ),
                (
                    "accounting.reconciliation.difference-found.v1",
                    facts.ReconciliationDifferenceFound,
                    "reconciliation_id",
                ),
                ("accounting.work.pending.v1", facts.WorkPending, "id"),
                ("accounting.work.recovered.v1", facts.WorkRecovered, "id"),
                ("accounting.process-run.started.v1", accounting_facts.ProcessRunFact, "process_run_id"),
                ("accounting.process-run.progressed.v1", accounting_facts.ProcessRunFact, "process_run_id"),
                ("accounting.process-run.completed.v1", accounting_facts.ProcessRunFact, "process_run_id"),
            ),
            _on(
                topics.BILLING_RUNS_EVENTS,
                ("billing-runs.run.created.v1", billing_runs_facts.RunCreated, "run_id"),
                ("billing-runs.run.changed.v1", billing_runs_facts.RunChanged, "run_id"),
                ("billing-runs.run.status-changed.v1", billing_runs_facts.RunStatusChanged, "run_id"),
                ("billing-runs.run.step-started.v1", billing_runs_facts.RunStepFact, "run_id"),
                ("billing-runs.run.step-progressed.v1", billing_runs_facts.RunStepFact, "run_id"),
                ("billing-runs.run.step-completed.v1", billing_runs_facts.RunStepFact, "run_id"),
                ("billing-runs.run.step-failed.v1", billing_runs_facts.RunStepFact, "run_id"),
                ("billing-runs.work.pending.v1", facts.WorkPending, "id"),
                ("billing-runs.work.recovered.v1", facts.WorkRecovered, "id"),
                ("billing-runs.run.refused.v1", billing_runs_facts.RunCommandRefused, "run_id"),
                ("billing-runs.document.reviewed.v1", billing_runs_facts.DocumentReviewed, "run_id"),
            ),
            _on(
                topics.NOTIFIER_EVENTS,
                ("notifier.notification.sent.v1", notifier_facts.NotificationSent, "notification_id"),
                ("notifier.notification.failed.v1", notifier_facts.NotificationFailed, "notification_id"),
            ),
        )
    }
)
"""All message types, by their `ce_type`."""


def message_types_of(topic: str) -> tuple[MessageType, ...]:
    """The message types that may stand on the topic, in the order of the contract."""
    return tuple(entry for entry in CATALOGUE.values() if entry.topic == topic)
