"""What a deployment sets for all use cases (contract.md section 4)."""

import datetime
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from accounting_connector.domain.eligibility import Terms

LAG_SECONDS: Final = 3.0
"""How long a command or a process run waits for facts that another line may not have read yet: a release just told of,
an account or a company. What is not known at all is waited for longer (contract.md section 1)."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """`terms` are those of whoever asks for documents outside of billing runs; business days are days of `zone`."""

    terms: Terms
    zone: ZoneInfo
    sync_item_limit: int
    command_wait_seconds: float

    def today(self) -> datetime.date:
        """The business day."""
        return datetime.datetime.now(self.zone).date()
