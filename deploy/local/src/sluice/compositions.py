"""What the four services are made of, for whoever puts them together outside of their own processes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import accounting_connector.main
import accounting_connector.settings
import billing_runs.main
import billing_runs.settings
import notifier.main
import notifier.settings
import release.main
import release.settings
from shared.service import Compose
from shared.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class Composition:
    """A service: its name, the settings that it reads, and how its parts are made from them."""

    name: str
    settings: type[ServiceSettings]
    compose: Callable[[Any], Compose]


COMPOSITIONS: Final = (
    Composition("release", release.settings.Settings, release.main.compose),
    Composition(
        "accounting-connector",
        accounting_connector.settings.AccountingConnectorSettings,
        accounting_connector.main.compose,
    ),
    Composition("billing-runs", billing_runs.settings.BillingRunsSettings, billing_runs.main.compose),
    Composition("notifier", notifier.settings.Settings, notifier.main.compose),
)
"""In the order of contract.md section 2."""
