"""The four services, as this machine runs them."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class LocalService:
    """A service: its name, the module that `python -m` runs (also its schema), and its usual port."""

    name: str
    module: str
    port: int


SERVICES: Final = (
    LocalService("release", "release", 8101),
    LocalService("accounting-connector", "accounting_connector", 8102),
    LocalService("billing-runs", "billing_runs", 8103),
    LocalService("notifier", "notifier", 8104),
)
"""In the order in which they are started; they are stopped the other way round."""


def service_named(name: str) -> LocalService:
    """The service of this name. Raises ValueError, with the names there are, for another one."""
    for service in SERVICES:
        if service.name == name:
            return service
    raise ValueError(
        f"{name!r} is not a service; there are {', '.join(service.name for service in SERVICES)}"
    )
