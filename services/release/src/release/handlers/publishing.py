"""The facts about one billing event that arrival, completion and changes by hand publish (contract.md section 1)."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from release.domain.reasons import Reason
from release.facts import billing_event_body, reason_bodies
from release.store.events import StoredEvent
from shared.contracts.base import MESSAGE_IDS_MAX
from shared.database.unit_of_work import Cause, UnitOfWork


def publish_billing_event(
    work: UnitOfWork,
    what: Literal["registered", "changed"],
    stored: StoredEvent,
    cause: Cause,
    starter: Mapping[str, Any] | None = None,
) -> None:
    """Say that a billing event is stored for the first time, or has changed; its row must be locked."""
    body = {"billing_event": billing_event_body(stored), "starter": starter}
    work.publish(f"release.billing-event.{what}.v1", stored.event.project_id, body, cause)


def publish_mismatch(work: UnitOfWork, before: StoredEvent | None, after: StoredEvent, cause: Cause) -> None:
    """Tell operators of an event whose items' categories differ from their records' kinds: once, until it is mended."""
    item_ids = after.event.mismatched_item_ids
    if not item_ids or (before is not None and before.event.mismatched_item_ids):
        return
    body = {
        "billing_event_id": after.billing_event_id,
        "project_id": after.event.project_id,
        "item_ids": item_ids[:MESSAGE_IDS_MAX],
        "items": len(item_ids),
        "starter": None,
    }
    work.publish("release.billing-event.category-mismatch.v1", after.event.project_id, body, cause)


def publish_deleted(work: UnitOfWork, stored: StoredEvent, cause: Cause) -> None:
    """Say that PSA has deleted a billing event; its row must be locked."""
    event = stored.event
    body = {
        "billing_event_id": event.billing_event_id,
        "project_id": event.project_id,
        "version": event.version,
        "starter": None,
    }
    work.publish("release.billing-event.deleted.v1", event.project_id, body, cause)


def publish_refused(
    work: UnitOfWork,
    billing_event_id: str,
    project_id: str | None,
    reasons: Iterable[Reason],
    cause: Cause,
    *,
    starter: Mapping[str, Any] | None = None,
    job_id: str | None = None,
    preview: Mapping[str, Any] | None = None,
) -> None:
    """Say that a command, a job or a change by PSA is refused. Of an event that is not known the id is the key.

    `preview` is the split that is offered.
    """
    body = {
        "billing_event_id": billing_event_id,
        "project_id": project_id,
        "job_id": job_id,
        "reasons": reason_bodies(reasons),
        "preview": preview,
        "starter": starter,
    }
    work.publish("release.billing-event.refused.v1", project_id or billing_event_id, body, cause)
