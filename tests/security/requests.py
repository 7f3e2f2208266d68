"""A valid request for every changing call, on what a seeded system holds, and another one for the same path."""

from dataclasses import dataclass
from typing import Any

from support import seeding
from support.seeding import Seeded


@dataclass(frozen=True)
class ValidRequest:
    """A request that is valid in its form, and the body of another that is."""

    service: str
    method: str
    route: str
    path: str
    body: Any = None
    other_body: Any = None


def changing_requests(seeded: Seeded) -> list[ValidRequest]:
    """One for each changing call of the route table; whatever they answer, they do not undo what is seeded."""
    event = f"/billing-events/{seeding.WAITING}"
    run = f"/billing-runs/{seeding.RUN}"
    job = {"select": {"billing_event_ids": [seeding.INCOMPLETE]}}
    other_job = {"select": {"billing_event_ids": [seeding.TOO_LARGE]}}
    new_run = {"scope": {"filter": {"project_id": "P-NONE"}}, "invoice_date": "2026-12-31"}
    review = {"action": "recheck", "select": {"document_ids": [seeded.draft_id]}}
    rule = {"fail_status": "suspect", "expression": "total_net > 0"}
    cycle = {"name": "cycle", "frequency": "monthly"}
    return [
        ValidRequest(
            "release",
            *_parts("POST", "/billing-events/{}/release", seeding.TOO_LARGE),
            {"on_cap": "split"},
            {"on_cap": "refuse"},
        ),
        ValidRequest(
            "release", *_parts("POST", "/billing-events/{}/revert", seeding.WAITING), {}, {"cascade": True}
        ),
        ValidRequest("release", "POST", "/billing-events/{}/recalculate", f"{event}/recalculate"),
        ValidRequest("release", "POST", "/billing-events/{}/move-left-out", f"{event}/move-left-out"),
        ValidRequest(
            "release",
            "POST",
            "/billing-events/{}/hold",
            f"{event}/hold",
            {"on_hold": False},
            {"on_hold": True},
        ),
        ValidRequest(
            "release", "PATCH", "/billing-events/{}", event, {"account_id": "A-1"}, {"account_id": "A-2"}
        ),
        ValidRequest("release", "POST", "/release-jobs", "/release-jobs", job, other_job),
        ValidRequest("release", *_parts("POST", "/release-jobs/{}/stop", seeded.job_id)),
        ValidRequest("accounting-connector", "POST", "/process-runs", "/process-runs", job, other_job),
        *(
            ValidRequest(
                "accounting-connector",
                *_parts("POST", f"/process-runs/{{}}/{action}", seeded.process_run_id),
                {"billing_event_ids": None},
                {"billing_event_ids": [seeding.TOO_LARGE]},
            )
            for action in ("give-up", "retry")
        ),
        ValidRequest(
            "accounting-connector",
            *_parts("PUT", "/companies/{}/settings", seeding.COMPANY),
            {"payment_days": 30},
            {"payment_days": 31},
        ),
        ValidRequest(
            "billing-runs", "POST", "/billing-runs", "/billing-runs", new_run, new_run | {"incremental": True}
        ),
        ValidRequest(
            "billing-runs", "PATCH", "/billing-runs/{}", run, {"description": "a"}, {"description": "b"}
        ),
        *(
            ValidRequest("billing-runs", *_parts("POST", f"/billing-runs/{{}}/{action}", seeding.RUN))
            for action in ("close", "enable", "disable")
        ),
        ValidRequest(
            "billing-runs",
            *_parts("POST", "/billing-runs/{}/process", seeding.RUN),
            {"invoice_date": None},
            {"invoice_date": "2026-12-01"},
        ),
        ValidRequest(
            "billing-runs",
            *_parts("POST", "/billing-runs/{}/render", seeding.RUN),
            {"format": "xml"},
            {"format": "pdf"},
        ),
        ValidRequest(
            "billing-runs",
            *_parts("POST", "/billing-runs/{}/cancel", "R-NONE"),
            {"billing_events": "reopen"},
            {"billing_events": "cancel"},
        ),
        ValidRequest(
            "billing-runs",
            *_parts("POST", "/billing-runs/{}/documents/review", seeding.RUN),
            review,
            review | {"reason": "again"},
        ),
        ValidRequest("billing-runs", *_parts("PUT", "/rules/{}", "KEYED"), rule, rule | {"priority": 1}),
        ValidRequest(
            "billing-runs", *_parts("PUT", "/billing-cycles/{}", "KEYED"), cycle, cycle | {"name": "c"}
        ),
        ValidRequest("notifier", *_parts("POST", "/alerts/{}/read", seeded.alert_id)),
        ValidRequest("notifier", *_parts("POST", "/deliveries/{}/resend", seeded.delivery_id)),
        ValidRequest(
            "notifier",
            "PUT",
            "/preferences",
            "/preferences",
            {"channels": {}},
            {"channels": {"dead_letters": []}},
        ),
    ]


def _parts(method: str, route: str, identifier: str) -> tuple[str, str, str]:
    return method, route, route.format(identifier)
