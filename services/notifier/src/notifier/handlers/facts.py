"""Facts of the other services become notifications (domain.md section 8)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from notifier.domain.kinds import AUDIENCES, Kind, Role, kind_of
from notifier.domain.notices import Notice
from notifier.domain.notifications import Addressee, Notification, Person
from notifier.domain.recipients import recipients_of, valid_address
from notifier.handlers.accounting_notices import process_run_notice
from notifier.handlers.billing_run_notices import status_notice, step_failed_notice
from notifier.handlers.operator_notices import (
    mismatch_notice,
    reconciliation_notice,
    waits_notice,
    work_pending_notice,
)
from notifier.handlers.release_notices import (
    billed_again_notice,
    conflict_notice,
    job_notice,
    threshold_notice,
)
from notifier.handlers.telling import Audiences, tell_people
from notifier.store.notifications import Caused
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.message import Message

_REVIEWED_STATUSES: Final = frozenset({"draft_invoices", "rejected"})
"""Between these a run goes to and fro as its documents are reviewed."""

log = structlog.get_logger(__name__)


def _status_cause(message: Message) -> str:
    """A status that a step has led to is told each time; one that a review has led to, once in the run's life."""
    run = message.body
    cause = f"billing-run/{run.run_id}/{run.status}"
    both_reviewed = run.status in _REVIEWED_STATUSES and run.previous_status in _REVIEWED_STATUSES
    return f"{cause}/review" if both_reviewed else f"{cause}/{message.id}"


def _process_run_cause(message: Message) -> str:
    """A run that has ended with pending events is told of once more, when none is left (domain.md section 4).

    So is one that got more events after its end.
    """
    run = message.body
    ended = f"process-run/{run.process_run_id}/ended"
    return ended + (f"/{run.extended}" if run.extended else "") + ("/pending" if run.pending else "")


@dataclass(frozen=True, slots=True)
class _Telling:
    """What a type of fact is told once for, and how. The cause is what the fact tells of, not the message: a fact
    that was made twice is told once.
    """

    cause: Callable[[Message], str]
    notice: Callable[[Any], Notice]


def _reconciliation(service: str) -> _Telling:
    return _Telling(
        cause=lambda message: f"reconciliation/{service}/{message.body.reconciliation_id}",
        notice=lambda body: reconciliation_notice(service, body),
    )


def _release_job_cause(message: Message) -> str:
    """A job that has ended with pending events is told of once more, when none is left (domain.md section 4)."""
    job = message.body
    return f"release-job/{job.job_id}/ended{'/pending' if job.pending else ''}"


def _work_pending(service: str) -> _Telling:
    """Of each kind once an hour: a fault that everything meets fails a thousand things at once."""
    return _Telling(
        cause=lambda message: f"work-pending/{service}/{message.body.kind}/{message.body.since:%Y-%m-%dT%H}",
        notice=lambda body: work_pending_notice(service, body),
    )


_TELLINGS: Final = {
    "release.job.completed.v1": _Telling(cause=_release_job_cause, notice=job_notice),
    "release.cap.threshold-crossed.v1": _Telling(
        cause=lambda message: f"cap-threshold/{message.id}", notice=threshold_notice
    ),
    "release.cap.configuration-conflict.v1": _Telling(
        cause=lambda message: f"cap-conflict/{message.body.project_id}/{message.body.version}",
        notice=conflict_notice,
    ),
    "release.billing-event.category-mismatch.v1": _Telling(
        cause=lambda message: f"category-mismatch/{message.body.billing_event_id}/{message.id}",
        notice=mismatch_notice,
    ),
    "release.billing-event.waits.v1": _Telling(
        cause=lambda message: f"billing-event-waits/{message.body.billing_event_id}",
        notice=waits_notice,
    ),
    "release.billing-event.billed-again.v1": _Telling(
        cause=lambda message: f"billed-again/{message.body.billing_event_id}", notice=billed_again_notice
    ),
    "release.reconciliation.difference-found.v1": _reconciliation("release"),
    "accounting.reconciliation.difference-found.v1": _reconciliation("accounting-connector"),
    "accounting.process-run.completed.v1": _Telling(cause=_process_run_cause, notice=process_run_notice),
    "release.work.pending.v1": _work_pending("release"),
    "accounting.work.pending.v1": _work_pending("accounting-connector"),
    "billing-runs.work.pending.v1": _work_pending("billing-runs"),
    "billing-runs.run.status-changed.v1": _Telling(cause=_status_cause, notice=status_notice),
    "billing-runs.run.step-failed.v1": _Telling(
        cause=lambda message: f"billing-run/{message.body.run_id}/step-failed/{message.body.execution_id}",
        notice=step_failed_notice,
    ),
}

HANDLED: Final = frozenset(_TELLINGS)
"""The types of section 8."""


async def take_facts(work: UnitOfWork, messages: Sequence[Message], audiences: Audiences) -> None:
    """Tell people of what these facts say."""
    caused = []
    for message in messages:
        notification = _notification_of(message, audiences)
        if notification is not None:
            caused.append(Caused(notification, message.cause))
    await tell_people(work, caused, audiences.mails)


def _notification_of(message: Message, audiences: Audiences) -> Notification | None:
    kind = kind_of(message.type, message.body.model_dump(include={"status", "and_invoice", "at_once"}))
    if kind is None:
        return None
    telling = _TELLINGS[message.type]
    cause = telling.cause(message)
    addressees = tuple(_addressees(kind, cause, message.body, audiences))
    return Notification(cause, kind, telling.notice(message.body), addressees)


def _addressees(kind: Kind, cause: str, body: Any, audiences: Audiences) -> Iterable[Addressee]:
    roles = AUDIENCES[kind].mailed | AUDIENCES[kind].alerted
    if Role.STARTER in roles and body.starter is not None:
        email = _address_of(cause, Role.STARTER, body.starter.email)
        yield Addressee(Role.STARTER, Person(body.starter.user_id, email))
    if Role.ALERT_RECIPIENT in roles:
        yield from _listed(cause, Role.ALERT_RECIPIENT, body.alert_recipient or "")
    if Role.OPERATORS in roles:
        yield from (Addressee(Role.OPERATORS, person) for person in audiences.operators)
    if Role.ADDITIONAL in roles:
        yield from (Addressee(Role.ADDITIONAL, person) for person in audiences.additional)
        yield from _listed(cause, Role.ADDITIONAL, ";".join(getattr(body, "additional_recipients", ())))


def _listed(cause: str, role: Role, text: str) -> Iterable[Addressee]:
    """The addressees of a list; those that are not valid are logged."""
    recipients = recipients_of(text)
    for _ in recipients.invalid:
        _log_invalid(cause, role)
    yield from (Addressee(role, Person(email=email)) for email in recipients.valid)


def _address_of(cause: str, role: Role, text: str | None) -> str | None:
    """The address that a fact names, None if it names none or one that is not valid, which is logged."""
    if not text:
        return None
    address = valid_address(text.strip())
    if address is None:
        _log_invalid(cause, role)
    return address


def _log_invalid(cause: str, role: Role) -> None:
    # Not what was written: a slip in an address leaves most of it readable, and logs name nobody.
    log.warning("recipient is not a valid mail address, no mail is sent", cause=cause, role=role.value)
