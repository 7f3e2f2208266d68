"""The settings of the billing-runs service (contract.md section 4)."""

from shared.settings import ServiceSettings


class BillingRunsSettings(ServiceSettings):
    """What every service needs; the settings of runs are given with each of them."""
