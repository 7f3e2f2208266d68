"""Bodies of HTTP requests that share their fields with commands, with longer lists of ids (contract.md section 2)."""

from typing import Self

from pydantic import model_validator

from shared.contracts.base import Id, field_error
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
    """The body of `POST /process-runs`; a billing run's documents are numbered by the run (domain.md section 5)."""

    @model_validator(mode="after")
    def _numbers_for_no_billing_run(self) -> Self:
        if self.billing_run_id is not None and self.validate_documents:
            raise field_error(("validate",), "validate", "should be false where a billing run is named")
        return self


class BillingRunRequest(BillingRunOf[RequestScope]):
    """The body of `POST /billing-runs`; without `run_id` the service gives one."""

    run_id: Id | None = None


class ReviewRequest(ReviewOf[RequestDocumentSelect]):
    """The body of `POST /billing-runs/{id}/documents/review`."""
