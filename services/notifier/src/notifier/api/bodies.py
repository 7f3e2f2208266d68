"""The bodies of the notifier's answers."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from notifier.domain.kinds import Channel, Kind
from notifier.domain.notifications import alert_addresses
from notifier.domain.recipients import valid_address
from notifier.domain.retries import DeliveryStatus
from notifier.mail.rendering import Renderer
from notifier.store.alerts import StoredAlert
from notifier.store.deliveries import StoredDelivery
from shared.http.pages import Page
from shared.http.tokens import Principal


class Alert(BaseModel):
    """An alert: what happened, in words and figures. `totals` are by currency and what was summed."""

    model_config = ConfigDict(extra="forbid")

    alert_id: str
    kind: Kind
    cause_id: str
    title: str
    text: str
    counts: dict[str, int]
    reasons: list[str]
    more_reasons: int
    totals: dict[str, dict[str, str]]
    link: str
    read: bool
    read_at: datetime | None
    created_at: datetime
    changed_at: datetime


class AlertPage(Page[Alert]):
    """A page of one's alerts, and how many of all of them have not been read."""

    unread_count: int


class DeliveryBody(BaseModel):
    """A mail to one recipient, and what became of it."""

    model_config = ConfigDict(extra="forbid")

    delivery_id: str
    kind: Kind
    cause_id: str
    title: str
    recipient: str
    status: DeliveryStatus
    attempts: int
    due_at: datetime
    error: str | None
    created_at: datetime
    sent_at: datetime | None


class Preferences(BaseModel):
    """By which channels one wants to be told, by kind; null, or a kind that is not named: as the settings say."""

    model_config = ConfigDict(extra="forbid")

    channels: dict[Kind, list[Channel] | None]


def own_addresses(principal: Principal) -> tuple[str, ...]:
    """Under which addresses someone finds their alerts: their user id's, and their mail address's."""
    return alert_addresses(principal.user_id, own_email(principal))


def own_email(principal: Principal) -> str | None:
    """The token's mail address, in the form in which mails are addressed."""
    return (valid_address(principal.email) or principal.email) if principal.email else None


def alert_body(alert: StoredAlert, renderer: Renderer) -> dict[str, Any]:
    """An alert as it is shown."""
    notice = alert.notice
    return {
        "alert_id": alert.alert_id,
        "kind": alert.kind,
        "cause_id": alert.cause,
        "title": notice.title,
        "text": notice.text,
        "counts": notice.counts,
        "reasons": notice.reasons,
        "more_reasons": notice.more_reasons,
        "totals": notice.totals,
        "link": renderer.link(notice),
        "read": alert.read_at is not None,
        "read_at": alert.read_at,
        "created_at": alert.created_at,
        "changed_at": alert.changed_at,
    }


def delivery_body(delivery: StoredDelivery) -> dict[str, Any]:
    """A mail as it is shown."""
    return {
        "delivery_id": delivery.delivery_id,
        "kind": delivery.kind,
        "cause_id": delivery.cause,
        "title": delivery.notice.title,
        "recipient": delivery.recipient,
        "status": delivery.state.status,
        "attempts": delivery.state.attempts,
        "due_at": delivery.state.due_at,
        "error": delivery.state.error,
        "created_at": delivery.created_at,
        "sent_at": delivery.sent_at,
    }
