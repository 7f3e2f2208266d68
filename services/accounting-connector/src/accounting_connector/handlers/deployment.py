"""What a deployment sets for all use cases (contract.md section 4)."""

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from accounting_connector.domain.eligibility import Terms


@dataclass(frozen=True, slots=True)
class Deployment:
    """`terms` are those of whoever asks for documents outside of billing runs; business days are days of `zone`.

    `lag_seconds`: how long a command or a process run waits for facts that another line may not have read yet: a
    release just told of, an account, a company. A command waits `command_wait_seconds` for what is not known at all
    (contract.md section 1). `settle_seconds`: how long a process run over a filter, batches or all that is eligible
    lets facts come in before it is worked: whoever asks may have released something a moment before.
    """

    terms: Terms
    zone: ZoneInfo
    sync_item_limit: int
    command_wait_seconds: float
    lag_seconds: float = 3.0
    settle_seconds: float = 0.0

    def today(self) -> datetime.date:
        """The business day."""
        return datetime.datetime.now(self.zone).date()
