"""The topics of the wire contract (contract.md section 1)."""

from typing import Final

PSA_PROJECTS: Final = "psa.projects"
PSA_ACCOUNTS: Final = "psa.accounts"
PSA_COMPANIES: Final = "psa.companies"
PSA_EXCHANGE_RATES: Final = "psa.exchange-rates"
PSA_BUSINESS_RECORDS: Final = "psa.business-records"
PSA_BILLING_EVENTS: Final = "psa.billing-events"

RELEASE_COMMANDS: Final = "release.commands"
RELEASE_EVENTS: Final = "release.events"
ACCOUNTING_COMMANDS: Final = "accounting.commands"
ACCOUNTING_EVENTS: Final = "accounting.events"
BILLING_RUNS_COMMANDS: Final = "billing-runs.commands"
BILLING_RUNS_EVENTS: Final = "billing-runs.events"
NOTIFIER_EVENTS: Final = "notifier.events"

COMPACTED: Final = frozenset(
    {PSA_PROJECTS, PSA_ACCOUNTS, PSA_COMPANIES, PSA_EXCHANGE_RATES, PSA_BUSINESS_RECORDS}
)
"""Of these the last value of each key is kept. A null value, a tombstone, says that the topic forgets its key: what was
last told of it stays as it was told.
"""

SERVICES: Final = ("release", "accounting-connector", "billing-runs", "notifier")
"""Each has a topic of what it could not take."""

_DEAD_LETTERS: Final = ".dead-letters"


def dead_letters_topic(service: str) -> str:
    """The topic of what the service could not take: `release` gives `release.dead-letters`."""
    return service + _DEAD_LETTERS


def is_dead_letters_topic(topic: str) -> bool:
    """Whether the topic holds what some service could not take."""
    return topic.endswith(_DEAD_LETTERS)
