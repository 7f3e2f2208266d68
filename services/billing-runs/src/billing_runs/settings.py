"""The settings of the billing-runs service (contract.md section 4)."""

from typing import Annotated, Literal

from pydantic import Field

from shared.settings import ServiceSettings


class BillingRunsSettings(ServiceSettings):
    """What every service needs; the settings of runs are given with each of them.

    `zero_amount_policy` is the accounting connector's, which decides: here it is for a run's preview. `four_eyes`:
    documents are numbered by another user than the one who created their run (domain.md section 5).
    """

    zero_amount_policy: Literal["refuse", "invoice"] = "refuse"
    four_eyes: bool = False
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8103
