"""What a deployment sets for all use cases (contract.md section 4)."""

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from accounting_connector.domain.eligibility import Terms


@dataclass(frozen=True, slots=True)
class Deployment:
    """`terms` are those of whoever asks for documents outside of billing runs; business days are days of `zone`.

    `lag_seconds`: how long a command or a process run waits for facts that another line may not have read yet: a
    release just told of, an account, a company. A command waits `command_wait_seconds` for what is not known at all,
    and so do a command and release and invoice for the account and the company of an event that is known for less than
    that (contract.md section 1). `settle_seconds`: how long a process run over a filter, batches or all that is
    eligible lets facts come in before it is worked: whoever asks may have released something a moment before.
    """

    terms: Terms
    zone: ZoneInfo
    sync_item_limit: int
    command_wait_seconds: float
    lag_seconds: float = 3.0
    settle_seconds: float = 0.0

    def waits_for_parties(self, known_seconds: float, waited_seconds: float, *, wait_seconds: float) -> bool:
        """Whether whoever has waited so long is to go on waiting for the account or the company of an event.

        For `wait_seconds` while the event is known for less than that itself, else for as long as a line may lag.
        """
        return waited_seconds < (wait_seconds if known_seconds < wait_seconds else self.lag_seconds)

    def today(self) -> datetime.date:
        """The business day."""
        return datetime.datetime.now(self.zone).date()
