"""Who is told of what, and by which channel: every row of the table of domain.md section 8."""

import pytest

from notifier.domain.kinds import (
    AUDIENCES,
    Channel,
    Kind,
    MailSettings,
    Role,
    channels_of,
    is_mailed,
    kind_of,
)

DEFAULTS = MailSettings()
MAIL, IN_APP = Channel.MAIL, Channel.IN_APP


@pytest.mark.parametrize(
    "fact_type, body, kind",
    [
        ("release.job.completed.v1", {"status": "completed"}, Kind.RELEASE_JOB_SUCCEEDED),
        ("release.job.completed.v1", {"status": "completed_with_errors"}, Kind.RELEASE_JOB_FAILED),
        ("release.job.completed.v1", {"status": "failed", "and_invoice": False}, Kind.RELEASE_JOB_FAILED),
        (
            "release.job.completed.v1",
            {"status": "completed", "and_invoice": True},
            Kind.RELEASE_STAGE_SUCCEEDED,
        ),
        (
            "release.job.completed.v1",
            {"status": "completed_with_errors", "and_invoice": True},
            Kind.RELEASE_STAGE_FAILED,
        ),
        ("accounting.process-run.completed.v1", {"status": "completed"}, Kind.PROCESS_RUN_ENDED),
        ("accounting.process-run.completed.v1", {"at_once": True}, Kind.PASSED_AT_ONCE),
        ("release.cap.threshold-crossed.v1", {}, Kind.CAP_THRESHOLD_CROSSED),
        ("release.cap.configuration-conflict.v1", {}, Kind.CAP_CONFIGURATION_CONFLICT),
        ("release.billing-event.category-mismatch.v1", {}, Kind.CATEGORY_MISMATCH),
        ("release.billing-event.waits.v1", {}, Kind.BILLING_EVENT_WAITS),
        ("release.billing-event.billed-again.v1", {}, Kind.BILLED_AGAIN),
        ("billing-runs.run.status-changed.v1", {"status": "draft_invoices"}, Kind.BILLING_RUN_REACHED_STATUS),
        ("billing-runs.run.status-changed.v1", {"status": "rejected"}, Kind.BILLING_RUN_REACHED_STATUS),
        ("billing-runs.run.status-changed.v1", {"status": "validated"}, Kind.BILLING_RUN_REACHED_STATUS),
        ("billing-runs.run.status-changed.v1", {"status": "cancelled"}, Kind.BILLING_RUN_REACHED_STATUS),
        ("billing-runs.run.status-changed.v1", {"status": "creating_invoices"}, None),
        ("billing-runs.run.step-failed.v1", {}, Kind.BILLING_RUN_STEP_FAILED),
        ("billing-runs.run.step-completed.v1", {}, None),
        ("release.reconciliation.difference-found.v1", {}, Kind.RECONCILIATION_DIFFERENCE),
        ("accounting.reconciliation.difference-found.v1", {}, Kind.RECONCILIATION_DIFFERENCE),
        ("release.work.pending.v1", {}, Kind.WORK_PENDING),
        ("accounting.work.pending.v1", {}, Kind.WORK_PENDING),
        ("billing-runs.work.pending.v1", {}, Kind.WORK_PENDING),
        ("accounting.work.recovered.v1", {}, None),
        ("release.job.progressed.v1", {"status": "running"}, None),
        ("release.billing-event.released.v1", {}, None),
    ],
)
def test_kind_of_notification_that_a_fact_causes(
    fact_type: str, body: dict[str, object], kind: Kind | None
) -> None:
    assert kind_of(fact_type, body) is kind


TO_STARTER = {Role.STARTER: {MAIL, IN_APP}, Role.ADDITIONAL: {MAIL}}
IN_APP_TO_STARTER = {Role.STARTER: {IN_APP}}
TO_OPERATORS = {Role.OPERATORS: {MAIL, IN_APP}}
TOLD = {
    Kind.RELEASE_JOB_FAILED: TO_STARTER,
    Kind.RELEASE_JOB_SUCCEEDED: IN_APP_TO_STARTER,
    Kind.RELEASE_STAGE_FAILED: TO_STARTER,
    Kind.RELEASE_STAGE_SUCCEEDED: IN_APP_TO_STARTER,
    Kind.PROCESS_RUN_ENDED: TO_STARTER,
    Kind.PASSED_AT_ONCE: IN_APP_TO_STARTER,
    Kind.CAP_THRESHOLD_CROSSED: {Role.ALERT_RECIPIENT: {MAIL, IN_APP}, Role.STARTER: {IN_APP}},
    Kind.CAP_CONFIGURATION_CONFLICT: TO_OPERATORS,
    Kind.CATEGORY_MISMATCH: TO_OPERATORS,
    Kind.BILLING_EVENT_WAITS: TO_OPERATORS,
    Kind.BILLED_AGAIN: {Role.OPERATORS: {IN_APP}},
    Kind.BILLING_RUN_REACHED_STATUS: TO_STARTER,
    Kind.BILLING_RUN_STEP_FAILED: TO_STARTER,
    Kind.DEAD_LETTERS: TO_OPERATORS,
    Kind.RECONCILIATION_DIFFERENCE: TO_OPERATORS,
    Kind.WORK_PENDING: TO_OPERATORS,
}


def test_every_kind_has_its_row() -> None:
    assert set(TOLD) == set(AUDIENCES) == set(Kind)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", Kind)
def test_who_is_told_by_the_default_settings(kind: Kind, role: Role) -> None:
    assert channels_of(kind, role, DEFAULTS, chosen=None) == TOLD[kind].get(role, set())


@pytest.mark.parametrize(
    "failed, succeeded",
    [
        (Kind.RELEASE_JOB_FAILED, Kind.RELEASE_JOB_SUCCEEDED),
        (Kind.RELEASE_STAGE_FAILED, Kind.RELEASE_STAGE_SUCCEEDED),
    ],
)
def test_settings_say_which_ends_of_release_jobs_are_mailed(failed: Kind, succeeded: Kind) -> None:
    turned_round = MailSettings(send_failure_email=False, send_success_email=True)

    assert (is_mailed(failed, DEFAULTS), is_mailed(succeeded, DEFAULTS)) == (True, False)
    assert (is_mailed(failed, turned_round), is_mailed(succeeded, turned_round)) == (False, True)
    assert channels_of(failed, Role.STARTER, turned_round, chosen=None) == {IN_APP}
    assert channels_of(succeeded, Role.ADDITIONAL, turned_round, chosen=None) == {MAIL}


@pytest.mark.parametrize(
    "chosen", [frozenset[Channel](), frozenset({MAIL}), frozenset({IN_APP}), frozenset({MAIL, IN_APP})]
)
def test_users_choice_goes_before_the_settings(chosen: frozenset[Channel]) -> None:
    for kind in (Kind.RELEASE_JOB_SUCCEEDED, Kind.RELEASE_JOB_FAILED):
        assert channels_of(kind, Role.STARTER, DEFAULTS, chosen=chosen) == chosen


def test_choice_makes_nobody_a_recipient_who_is_none() -> None:
    both = frozenset({MAIL, IN_APP})

    assert channels_of(Kind.DEAD_LETTERS, Role.STARTER, DEFAULTS, chosen=both) == frozenset()
    assert channels_of(Kind.CAP_THRESHOLD_CROSSED, Role.STARTER, DEFAULTS, chosen=both) == {IN_APP}
