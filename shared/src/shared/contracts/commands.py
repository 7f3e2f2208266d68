"""Commands: bodies of the `*.commands` topics (contract.md section 1). An unknown field is bad input."""

from typing import Self

from pydantic import model_validator

from shared.contracts.base import Closed, DocumentDate, Id, MessageIds, Part, Starter, field_error
from shared.contracts.command_fields import (
    BillingRunOf,
    CancelFields,
    DescriptionFields,
    FillFields,
    HoldFields,
    ProcessFields,
    ProcessRunOf,
    ReleaseFields,
    ReleaseJobOf,
    RenderFields,
    RevertFields,
    ReviewOf,
)
from shared.contracts.selections import DocumentSelect, ProcessRunSelect, Scope, Select


class RequestedBy(Starter):
    """Who asks; becomes the `starter` of what follows."""

    model_config = Closed.model_config


class Command(Closed):
    """What every command may carry."""

    requested_by: RequestedBy | None = None


class BillingEventCommand(Command):
    """A command to one billing event."""

    billing_event_id: Id


class ReleaseBillingEvent(BillingEventCommand, ReleaseFields):
    """`release.billing-event.release.v1`: release one billing event."""


class RevertBillingEvent(BillingEventCommand, RevertFields):
    """`release.billing-event.revert.v1`: undo a release."""


class RecalculateBillingEvent(BillingEventCommand):
    """`release.billing-event.recalculate.v1`: copy the figures from the business records again."""


class HoldBillingEvent(BillingEventCommand, HoldFields):
    """`release.billing-event.hold.v1`: hold a billing event back, or let it go on."""


class FillBillingEvent(BillingEventCommand, FillFields):
    """`release.billing-event.fill.v1`: fill what is empty."""


class StartReleaseJob(Command, ReleaseJobOf[Select]):
    """`release.job.start.v1`: release many billing events."""

    job_id: Id


class StopReleaseJob(Command):
    """`release.job.stop.v1`: chunks that have not begun are not worked; what waits in them awaits release again."""

    job_id: Id


class StartProcessRun(Command, ProcessRunOf[ProcessRunSelect]):
    """`accounting.process-run.start.v1`: make documents of billing events."""

    process_run_id: Id


class Parted(Command):
    """A command whose list of ids may be divided over several messages."""

    part: Part = 1
    parts: Part = 1

    @model_validator(mode="after")
    def _part_is_one_of_them(self) -> Self:
        if self.part > self.parts:
            raise field_error(("part",), "part", "should not be more than parts")
        return self


class ClaimBillingEvents(Parted):
    """`accounting.billing-events.claim.v1`: claim billing events for a billing run."""

    billing_run_id: Id
    billing_event_ids: MessageIds


class UnclaimBillingEvents(Parted, CancelFields):
    """`accounting.billing-events.unclaim.v1`: let claimed billing events go."""

    billing_run_id: Id
    billing_event_ids: MessageIds


class WithdrawBillingEvents(Command):
    """`accounting.billing-events.withdraw.v1`, from the release service, for a revert."""

    billing_event_ids: MessageIds


class DocumentsCommand(Command):
    """A command to documents; `job_id` names the step that asks, and comes back in the facts."""

    document_ids: MessageIds
    job_id: Id | None = None


class ValidateDocuments(DocumentsCommand):
    """`accounting.documents.validate.v1`; without a date the documents get the one they were drafted with."""

    date: DocumentDate | None = None


class CancelDocuments(DocumentsCommand, CancelFields):
    """`accounting.documents.cancel.v1`: cancel drafts."""


class RenderDocuments(DocumentsCommand, RenderFields):
    """`accounting.documents.render.v1`: make the files of documents."""


class RunCommand(Command):
    """A command to one billing run."""

    run_id: Id


class CreateRun(RunCommand, BillingRunOf[Scope]):
    """`billing-runs.run.create.v1`: create a billing run."""


class ProcessRun(RunCommand, ProcessFields):
    """`billing-runs.run.process.v1`: do the run's next step."""


class CloseRun(RunCommand):
    """`billing-runs.run.close.v1`: an incremental run takes no more lines."""


class EnableRun(RunCommand):
    """`billing-runs.run.enable.v1`: enable a billing run."""


class DisableRun(RunCommand):
    """`billing-runs.run.disable.v1`: disable a billing run: no step starts."""


class RenderRun(RunCommand, RenderFields):
    """`billing-runs.run.render.v1`: make the files of a billing run's documents."""


class CancelRun(RunCommand, CancelFields):
    """`billing-runs.run.cancel.v1`: cancel a billing run."""


class DescribeRun(RunCommand, DescriptionFields):
    """`billing-runs.run.describe.v1`: save a billing run's description."""


class ReviewDocuments(RunCommand, ReviewOf[DocumentSelect]):
    """`billing-runs.documents.review.v1`: act on documents of a billing run."""
