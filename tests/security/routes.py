"""The route table of the contract: every call of each service, and the scope that it needs (contract.md section 2)."""

import re
from typing import Final

Call = tuple[str, str]

READ_EVENTS: Final = "billing-events:read"
RELEASE: Final = "billing-events:release"
REVERT: Final = "billing-events:revert"
READ_DOCUMENTS: Final = "documents:read"
WRITE_DOCUMENTS: Final = "documents:write"
READ_RUNS: Final = "billing-runs:read"
WRITE_RUNS: Final = "billing-runs:write"
APPROVE: Final = "billing-runs:approve"
READ_ALERTS: Final = "alerts:read"
WRITE_ALERTS: Final = "alerts:write"
SETTINGS: Final = "settings:write"

OPEN: Final = frozenset({"/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"})

# None: any token will do, since it is about what is one's own.
ROUTES: Final[dict[str, dict[Call, str | None]]] = {
    "release": {
        ("GET", "/billing-events"): READ_EVENTS,
        ("GET", "/billing-events/{}"): READ_EVENTS,
        ("GET", "/billing-events/{}/release-preview"): READ_EVENTS,
        ("GET", "/billing-events/{}/history"): READ_EVENTS,
        ("POST", "/billing-events/{}/release"): RELEASE,
        ("POST", "/billing-events/{}/revert"): REVERT,
        ("POST", "/billing-events/{}/recalculate"): RELEASE,
        ("POST", "/billing-events/{}/move-left-out"): RELEASE,
        ("POST", "/billing-events/{}/hold"): RELEASE,
        ("PATCH", "/billing-events/{}"): RELEASE,
        ("GET", "/billing-event-batches"): READ_EVENTS,
        ("GET", "/billing-event-batches/{}"): READ_EVENTS,
        ("POST", "/release-jobs"): RELEASE,
        ("POST", "/release-jobs/validate"): RELEASE,
        ("POST", "/release-jobs/{}/stop"): RELEASE,
        ("GET", "/release-jobs"): READ_EVENTS,
        ("GET", "/release-jobs/{}"): READ_EVENTS,
        ("GET", "/release-jobs/{}/log"): READ_EVENTS,
        ("GET", "/projects/{}/cap"): READ_EVENTS,
        ("GET", "/projects/{}/cap/ledger"): READ_EVENTS,
        ("GET", "/reconciliation"): READ_EVENTS,
    },
    "accounting-connector": {
        ("GET", "/documents"): READ_DOCUMENTS,
        ("GET", "/documents/{}"): READ_DOCUMENTS,
        ("GET", "/documents/{}.xml"): READ_DOCUMENTS,
        ("GET", "/documents/{}.pdf"): READ_DOCUMENTS,
        ("GET", "/billing-events/{}/eligibility"): READ_DOCUMENTS,
        ("POST", "/process-runs"): WRITE_DOCUMENTS,
        ("POST", "/process-runs/validate"): READ_DOCUMENTS,
        ("GET", "/process-runs"): READ_DOCUMENTS,
        ("GET", "/process-runs/{}"): READ_DOCUMENTS,
        ("GET", "/process-runs/{}/log"): READ_DOCUMENTS,
        ("POST", "/process-runs/{}/give-up"): WRITE_DOCUMENTS,
        ("POST", "/process-runs/{}/retry"): WRITE_DOCUMENTS,
        ("GET", "/companies/{}/settings"): READ_DOCUMENTS,
        ("PUT", "/companies/{}/settings"): SETTINGS,
        ("POST", "/companies/{}/settings/try"): SETTINGS,
        ("GET", "/reconciliation"): READ_DOCUMENTS,
    },
    "billing-runs": {
        ("POST", "/billing-runs"): WRITE_RUNS,
        ("GET", "/billing-runs"): READ_RUNS,
        ("GET", "/billing-runs/{}"): READ_RUNS,
        ("PATCH", "/billing-runs/{}"): WRITE_RUNS,
        ("POST", "/billing-runs/{}/process"): WRITE_RUNS,
        ("POST", "/billing-runs/{}/close"): WRITE_RUNS,
        ("POST", "/billing-runs/{}/enable"): WRITE_RUNS,
        ("POST", "/billing-runs/{}/disable"): WRITE_RUNS,
        ("POST", "/billing-runs/{}/cancel"): WRITE_RUNS,
        ("POST", "/billing-runs/{}/render"): WRITE_RUNS,
        ("GET", "/billing-runs/{}/executions"): READ_RUNS,
        ("GET", "/billing-runs/{}/statistics"): READ_RUNS,
        ("GET", "/billing-runs/{}/documents"): READ_RUNS,
        ("GET", "/billing-runs/{}/billing-events"): READ_RUNS,
        ("GET", "/billing-runs/{}/events"): READ_RUNS,
        ("POST", "/billing-runs/{}/documents/review"): APPROVE,
        ("GET", "/rules"): READ_RUNS,
        ("GET", "/rules/{}"): READ_RUNS,
        ("PUT", "/rules/{}"): SETTINGS,
        ("POST", "/rules/{}/test"): READ_RUNS,
        ("GET", "/billing-cycles"): READ_RUNS,
        ("GET", "/billing-cycles/{}"): READ_RUNS,
        ("PUT", "/billing-cycles/{}"): SETTINGS,
    },
    "notifier": {
        ("GET", "/alerts"): READ_ALERTS,
        ("POST", "/alerts/{}/read"): READ_ALERTS,
        ("GET", "/alerts/stream"): READ_ALERTS,
        ("GET", "/deliveries"): READ_ALERTS,
        ("POST", "/deliveries/{}/resend"): WRITE_ALERTS,
        ("GET", "/preferences"): None,
        ("PUT", "/preferences"): None,
    },
}
"""Paths without the names of their parameters."""

ALL_SCOPES: Final = frozenset(
    scope for calls in ROUTES.values() for scope in calls.values() if scope is not None
)
CHANGING: Final = [
    (service, method, path) for service, calls in ROUTES.items() for method, path in calls if method != "GET"
]


def unnamed(path: str) -> str:
    """A path without the names of its parameters."""
    return re.sub(r"\{[^}]*\}", "{}", path)
