"""Commands to the release service about the events of a plan."""

from collections.abc import Mapping, Sequence
from typing import Any

from support.load.expectation import user_of
from support.load.plan import Event, Kind
from support.load.records import Record, cloud_event


def release_command(event: Event) -> Record:
    """The command that releases the event."""
    on_cap = "split" if event.kind is Kind.SPLIT else "refuse"
    body = {
        "billing_event_id": event.event_id,
        "on_cap": on_cap,
        "requested_by": user_of(event.event_id.partition("-")[0]),
    }
    return billing_event_command("release", event, body)


def job_command(group: str, events: Sequence[Event]) -> Record:
    """The command that starts a group's job."""
    body = {
        "job_id": group,
        "select": {"billing_event_ids": [event.event_id for event in events]},
        "and_invoice": events[0].kind is Kind.AND_INVOICE,
        "requested_by": user_of(group),
    }
    return cloud_event("release.commands", group, "release.job.start.v1", f"{group}:start", body)


def billing_event_command(what: str, event: Event, body: Mapping[str, Any]) -> Record:
    """A command of release to one event; `what` is the word for it in the type's name."""
    message_id = f"{event.event_id}:{what}"
    return cloud_event(
        "release.commands", event.event_id, f"release.billing-event.{what}.v1", message_id, body
    )
