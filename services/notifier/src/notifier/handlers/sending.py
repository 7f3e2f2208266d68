"""Mails are sent: an attempt is noted before the mail is handed over, and its outcome after it (domain.md section 8).

A sender that dies in between leaves a lease that runs out: the mail is then tried again, with the same Message-ID, and
never more often than the schedule allows.
"""

import asyncio
import random
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from notifier.domain.notices import one_line
from notifier.domain.retries import (
    Delivery,
    DeliveryStatus,
    RetrySchedule,
    attempt_begun,
    attempt_failed,
    attempt_succeeded,
)
from notifier.mail.message import Sender, UnsafeHeaderError, compose_mail
from notifier.mail.rendering import Renderer
from notifier.mail.server import SEND_SECONDS_MAX, MailConnection, MailNotTakenError
from notifier.store.deliveries import StoredDelivery, note_outcome, save_delivery, take_due
from shared import failpoints
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.telemetry import metrics

SENDERS: Final = 8
"""How many mails are under way at the same time, each sender with a connection of its own."""

LEASE_SECONDS: Final = SEND_SECONDS_MAX + 10
STOP_SECONDS_MAX: Final = 5.0
"""How long a mail that is under way may take when the service stops."""

MAIL_OUTCOMES: Final = ("sent", "retried", "failed")
"""What the metrics count."""

SENT: Final = "notifier.notification.sent.v1"
FAILED: Final = "notifier.notification.failed.v1"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt that was made."""

    delivery: StoredDelivery
    state: Delivery


class MailSender:
    """Sends one mail after the other; several of them, here and in other replicas, share the work."""

    def __init__(
        self,
        database: Database,
        connection: MailConnection,
        renderer: Renderer,
        sender: Sender,
        retries: RetrySchedule,
    ) -> None:
        self._database = database
        self._connection = connection
        self._renderer = renderer
        self._sender = sender
        self._retries = retries
        self._outcome: Outcome | None = None

    async def step(self) -> bool:
        """A worker's step: one mail; whether there may be more."""
        # Cancelled while the server takes the mail, we would not know that it has.
        sending = asyncio.ensure_future(self._send_next())
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.wait({sending}, timeout=STOP_SECONDS_MAX)
            sending.cancel()
            raise

    async def _send_next(self) -> bool:
        if self._outcome is None:
            delivery = await self._database.run(self._begin)
            if delivery is None:
                await self._connection.close()
                return False
            if delivery.state.status is DeliveryStatus.FAILED:
                metrics.count_mails("failed")
                return True
            self._outcome = Outcome(delivery, await self._attempt(delivery))
        # If the database is away now, this is noted before anything else is sent.
        await self._database.run(self._note)
        self._outcome = None
        return True

    async def _begin(self, work: UnitOfWork) -> StoredDelivery | None:
        """Take the next mail and note the attempt, or that there is none left: then it has failed."""
        delivery = await take_due(work.connection)
        if delivery is None:
            return None
        jitter = random.random()  # noqa: S311 - jitter, not a secret
        state = attempt_begun(delivery.state, at=delivery.now, schedule=self._retries, jitter=jitter)
        lease_seconds = LEASE_SECONDS if state.status is DeliveryStatus.QUEUED else None
        await save_delivery(work.connection, delivery.delivery_id, state, lease_seconds=lease_seconds)
        _publish(work, delivery, state)
        return replace(delivery, state=state)

    async def _attempt(self, delivery: StoredDelivery) -> Delivery:
        notice = delivery.notice
        try:
            content = compose_mail(
                delivery.delivery_id,
                sender=self._sender,
                recipient=delivery.recipient,
                subject=f"Sluice: {notice.title}",
                text=self._renderer.text(notice),
                html=self._renderer.html(notice),
                at=delivery.now,
            )
            await self._connection.send(self._sender.address, delivery.recipient, content)
        except MailNotTakenError as error:
            state = attempt_failed(
                delivery.state,
                error=one_line(error.reason),
                permanent=error.is_permanent,
                schedule=self._retries,
            )
        except UnsafeHeaderError as error:
            state = attempt_failed(delivery.state, error=str(error), permanent=True, schedule=self._retries)
        else:
            failpoints.hit(failpoints.MAIL_AFTER_TAKEN)
            state = attempt_succeeded(delivery.state)
        outcome = "retried" if state.status is DeliveryStatus.QUEUED else state.status.value
        metrics.count_mails(outcome)
        if state.status is not DeliveryStatus.SENT:
            log.warning(
                "mail was not taken", delivery=delivery.delivery_id, attempt=state.attempts, outcome=outcome
            )
        return state

    async def _note(self, work: UnitOfWork) -> None:
        assert self._outcome is not None, "there is an outcome to note"
        delivery, state = self._outcome.delivery, self._outcome.state
        if await note_outcome(work.connection, delivery.delivery_id, state):
            _publish(work, delivery, state)


def _publish(work: UnitOfWork, delivery: StoredDelivery, state: Delivery) -> None:
    if state.status is DeliveryStatus.QUEUED:
        return
    body: dict[str, Any] = {
        "notification_id": delivery.delivery_id,
        "kind": delivery.kind,
        "recipient": delivery.recipient,
        "attempts": state.attempts,
        "cause_id": delivery.cause,
        "time": delivery.now.isoformat().replace("+00:00", "Z"),
    }
    if state.status is DeliveryStatus.FAILED:
        body["reasons"] = [{"code": "mail_not_taken", "message": state.error or ""}]
    work.publish(
        SENT if state.status is DeliveryStatus.SENT else FAILED,
        delivery.delivery_id,
        body,
        delivery.message_cause,
    )
