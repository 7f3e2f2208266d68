"""Bodies of HTTP requests that share their fields with commands, with longer lists of ids (contract.md section 2)."""

from shared.contracts.base import Id
from shared.contracts.command_fields import BillingRunOf, ProcessRunOf, ReleaseJobOf, ReviewOf
from shared.contracts.selections import (
    RequestDocumentSelect,
    RequestProcessRunSelect,
    RequestScope,
    RequestSelect,
)


class ReleaseJobRequest(ReleaseJobOf[RequestSelect]):
    """The body of `POST /release-jobs`."""


class ProcessRunRequest(ProcessRunOf[RequestProcessRunSelect]):
    """The body of `POST /process-runs`."""


class BillingRunRequest(BillingRunOf[RequestScope]):
    """The body of `POST /billing-runs`; without `run_id` the service gives one."""

    run_id: Id | None = None


class ReviewRequest(ReviewOf[RequestDocumentSelect]):
    """The body of `POST /billing-runs/{id}/documents/review`."""
