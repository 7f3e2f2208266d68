"""What people are told, by which channel, and who they are: the table of domain.md section 8."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a notification is about; users choose their channels by it."""

    RELEASE_JOB_FAILED = "release_job_failed"
    RELEASE_JOB_SUCCEEDED = "release_job_succeeded"
    RELEASE_STAGE_FAILED = "release_stage_failed"
    RELEASE_STAGE_SUCCEEDED = "release_stage_succeeded"
    PROCESS_RUN_ENDED = "process_run_ended"
    PASSED_AT_ONCE = "passed_at_once"
    CAP_THRESHOLD_CROSSED = "cap_threshold_crossed"
    CAP_CONFIGURATION_CONFLICT = "cap_configuration_conflict"
    CATEGORY_MISMATCH = "category_mismatch"
    BILLING_EVENT_WAITS = "billing_event_waits"
    BILLED_AGAIN = "billed_again"
    BILLING_RUN_REACHED_STATUS = "billing_run_reached_status"
    BILLING_RUN_STEP_FAILED = "billing_run_step_failed"
    DEAD_LETTERS = "dead_letters"
    RECONCILIATION_DIFFERENCE = "reconciliation_difference"
    WORK_PENDING = "work_pending"


class Channel(StrEnum):
    """How someone is told."""

    MAIL = "mail"
    IN_APP = "in_app"


class Role(StrEnum):
    """Whom a notification is for; `additional` are the additional notification recipients, who get mails
    only.
    """

    STARTER = "starter"
    ALERT_RECIPIENT = "alert_recipient"
    OPERATORS = "operators"
    ADDITIONAL = "additional"


class MailWhen(StrEnum):
    """Whether a kind is mailed: always, never, or as the setting says."""

    ALWAYS = "always"
    NEVER = "never"
    SEND_FAILURE_EMAIL = "send_failure_email"
    SEND_SUCCESS_EMAIL = "send_success_email"


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Which ends of release jobs are mailed."""

    send_failure_email: bool = True
    send_success_email: bool = False


@dataclass(frozen=True, slots=True)
class Audience:
    """Who hears of a kind: by mail, when it is mailed at all, and in the application."""

    mail: MailWhen
    mailed: frozenset[Role]
    alerted: frozenset[Role]


_STARTED: Final = frozenset({Role.STARTER})
_STARTED_AND_ADDITIONAL: Final = frozenset({Role.STARTER, Role.ADDITIONAL})
_OPERATORS: Final = frozenset({Role.OPERATORS})
_TO_OPERATORS: Final = Audience(MailWhen.ALWAYS, _OPERATORS, _OPERATORS)


def _to_starter(mail: MailWhen) -> Audience:
    return Audience(mail, _STARTED_AND_ADDITIONAL, _STARTED)


AUDIENCES: Final[Mapping[Kind, Audience]] = {
    Kind.RELEASE_JOB_FAILED: _to_starter(MailWhen.SEND_FAILURE_EMAIL),
    Kind.RELEASE_JOB_SUCCEEDED: _to_starter(MailWhen.SEND_SUCCESS_EMAIL),
    Kind.RELEASE_STAGE_FAILED: _to_starter(MailWhen.SEND_FAILURE_EMAIL),
    Kind.RELEASE_STAGE_SUCCEEDED: _to_starter(MailWhen.SEND_SUCCESS_EMAIL),
    Kind.PROCESS_RUN_ENDED: _to_starter(MailWhen.ALWAYS),
    Kind.PASSED_AT_ONCE: _to_starter(MailWhen.NEVER),
    Kind.CAP_THRESHOLD_CROSSED: Audience(
        MailWhen.ALWAYS,
        mailed=frozenset({Role.ALERT_RECIPIENT}),
        alerted=frozenset({Role.ALERT_RECIPIENT, Role.STARTER}),
    ),
    Kind.CAP_CONFIGURATION_CONFLICT: _TO_OPERATORS,
    Kind.CATEGORY_MISMATCH: _TO_OPERATORS,
    Kind.BILLING_EVENT_WAITS: _TO_OPERATORS,
    Kind.BILLED_AGAIN: Audience(MailWhen.NEVER, mailed=frozenset(), alerted=_OPERATORS),
    Kind.BILLING_RUN_REACHED_STATUS: _to_starter(MailWhen.ALWAYS),
    Kind.BILLING_RUN_STEP_FAILED: _to_starter(MailWhen.ALWAYS),
    Kind.DEAD_LETTERS: _TO_OPERATORS,
    Kind.RECONCILIATION_DIFFERENCE: _TO_OPERATORS,
    Kind.WORK_PENDING: _TO_OPERATORS,
}
"""The specified table: for each kind when it is mailed, to whom, and who is told in the application."""

_KIND_BY_FACT: Final[Mapping[str, Kind]] = {
    "release.cap.threshold-crossed.v1": Kind.CAP_THRESHOLD_CROSSED,
    "release.cap.configuration-conflict.v1": Kind.CAP_CONFIGURATION_CONFLICT,
    "release.billing-event.category-mismatch.v1": Kind.CATEGORY_MISMATCH,
    "release.billing-event.waits.v1": Kind.BILLING_EVENT_WAITS,
    "release.billing-event.billed-again.v1": Kind.BILLED_AGAIN,
    "release.reconciliation.difference-found.v1": Kind.RECONCILIATION_DIFFERENCE,
    "accounting.reconciliation.difference-found.v1": Kind.RECONCILIATION_DIFFERENCE,
    "release.work.pending.v1": Kind.WORK_PENDING,
    "accounting.work.pending.v1": Kind.WORK_PENDING,
    "billing-runs.work.pending.v1": Kind.WORK_PENDING,
    "billing-runs.run.step-failed.v1": Kind.BILLING_RUN_STEP_FAILED,
}

_TOLD_RUN_STATUSES: Final = frozenset({"draft_invoices", "rejected", "validated", "cancelled"})


def kind_of(fact_type: str, body: Mapping[str, object]) -> Kind | None:
    """The kind of notification that a fact causes, or None: nobody is told (domain.md section 8).

    Reads of the body: `status` and `and_invoice` of a release job, `at_once` of a process run (a single event
    passed at once: an alert, no mail), `status` of a billing run.
    """
    match fact_type:
        case "release.job.completed.v1":
            return _kind_of_job(
                succeeded=body.get("status") == "completed", and_invoice=body.get("and_invoice") is True
            )
        case "accounting.process-run.completed.v1":
            return Kind.PASSED_AT_ONCE if body.get("at_once") is True else Kind.PROCESS_RUN_ENDED
        case "billing-runs.run.status-changed.v1":
            return Kind.BILLING_RUN_REACHED_STATUS if body.get("status") in _TOLD_RUN_STATUSES else None
        case _:
            return _KIND_BY_FACT.get(fact_type)


def _kind_of_job(*, succeeded: bool, and_invoice: bool) -> Kind:
    if and_invoice:
        return Kind.RELEASE_STAGE_SUCCEEDED if succeeded else Kind.RELEASE_STAGE_FAILED
    return Kind.RELEASE_JOB_SUCCEEDED if succeeded else Kind.RELEASE_JOB_FAILED


def is_mailed(kind: Kind, settings: MailSettings) -> bool:
    """Whether this kind is mailed by the settings of the deployment."""
    match AUDIENCES[kind].mail:
        case MailWhen.ALWAYS:
            return True
        case MailWhen.NEVER:
            return False
        case MailWhen.SEND_FAILURE_EMAIL:
            return settings.send_failure_email
        case MailWhen.SEND_SUCCESS_EMAIL:
            return settings.send_success_email


def channels_of(
    kind: Kind, role: Role, settings: MailSettings, *, chosen: frozenset[Channel] | None
) -> frozenset[Channel]:
    """By which channels someone in this role is told of this kind (domain.md section 8).

    `chosen` are the channels that the user has chosen for the kind, None: no choice made. A choice goes
    before the settings, in what it switches on as in what it switches off, but makes nobody a recipient who
    is none.
    """
    audience = AUDIENCES[kind]
    reachable = {
        channel
        for channel, roles in ((Channel.MAIL, audience.mailed), (Channel.IN_APP, audience.alerted))
        if role in roles
    }
    if chosen is not None:
        return frozenset(reachable & chosen)
    if not is_mailed(kind, settings):
        reachable.discard(Channel.MAIL)
    return frozenset(reachable)
