"""Facts of the notifier: bodies of `notifier.events` (contract.md section 1)."""

from pydantic import Field

from shared.contracts.base import Code, Count, Email, Id, Instant, Name
from shared.contracts.facts import Fact, Reasons


class NotificationFact(Fact):
    """A mail for one cause and one recipient (domain.md section 8)."""

    notification_id: Id
    kind: Code
    recipient: Email
    attempts: Count = 1
    cause_id: Name | None = None
    time: Instant | None = None


class NotificationSent(NotificationFact):
    """`notifier.notification.sent.v1`: the mail server has taken it."""


class NotificationFailed(NotificationFact):
    """`notifier.notification.failed.v1`: given up after its retries; it can be sent again."""

    reasons: Reasons = Field(default_factory=list)
