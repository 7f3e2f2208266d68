"""Settings of the accounting connector (contract.md section 4)."""

from typing import Annotated

from pydantic import Field

from accounting_connector.domain.eligibility import MAX_LINES, PAYMENT_DAYS, Terms, ZeroAmountPolicy
from accounting_connector.domain.process_runs import SYNC_ITEM_LIMIT
from accounting_connector.handlers.deployment import Deployment
from shared.settings import ServiceSettings


class AccountingConnectorSettings(ServiceSettings):
    """What the accounting connector takes from its environment."""

    http_port: Annotated[int, Field(ge=0, le=65535)] = 8102
    zero_amount_policy: ZeroAmountPolicy = ZeroAmountPolicy.REFUSE
    max_lines: Annotated[int, Field(ge=1, le=20_000)] = MAX_LINES
    sync_item_limit: Annotated[int, Field(ge=0, le=20_000)] = SYNC_ITEM_LIMIT
    payment_days: Annotated[int, Field(ge=0, le=3650)] = PAYMENT_DAYS
    process_run_days: Annotated[int, Field(ge=1, le=3650)] = 90

    rendering_processes: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes that make files of documents."""

    def deployment(self) -> Deployment:
        """What the use cases need of the settings."""
        terms = Terms(
            max_lines=self.max_lines,
            zero_amount_policy=self.zero_amount_policy,
            payment_days=self.payment_days,
            support_contact=self.support_contact,
        )
        return Deployment(terms, self.time_zone, self.sync_item_limit, self.command_wait_seconds)
