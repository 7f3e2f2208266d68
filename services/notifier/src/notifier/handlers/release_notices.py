"""What is told of the release service's facts."""

from collections.abc import Iterable
from typing import Final

from notifier.domain.notices import Notice, first_reasons
from notifier.handlers.reasons import amount_text, event_texts
from shared.contracts.facts import BillingEventReasons
from shared.contracts.release_facts import (
    BillingEventBilledAgain,
    CapConfigurationConflict,
    CapThresholdCrossed,
    ReleaseJobFact,
)

_SPOILT: Final = "batch_failed"


def job_notice(job: ReleaseJobFact) -> Notice:
    """The end of a release job, or of stage 1 of release and invoice."""
    what = "Release and invoice, stage 1" if job.and_invoice else "Release job"
    figures = ", ".join(
        [f"{job.released} released", f"{job.failed} failed"]
        + [f"{count} {word}" for word, count in (("stopped", job.stopped), ("pending", job.pending)) if count]
    )
    if job.pending:
        title = f"{what}: {figures}"
        text = (
            f"The job {job.job_id} has ended, but for {job.pending} billing events: a fault of the system's own stands"
            " against them. They are tried again until it is mended or the job is stopped, which is told then."
        )
    elif job.status == "stopped":
        title = f"{what} stopped: {figures}"
        text = f"The job {job.job_id} was stopped. What it had not begun awaits release again."
    elif job.status == "failed":
        title = f"{what}: could not be worked to its end ({figures})"
        text = f"The job {job.job_id} was given up before all of its billing events were decided."
    elif job.failed:
        title = f"{what}: {figures}"
        text = f"The job {job.job_id} has ended. Some billing events could not be released; its log says why."
    else:
        title = f"{what}: {job.released} released"
        ended = (
            "has ended well" if job.released else "has ended: nothing of what was asked for awaited release"
        )
        text = f"The job {job.job_id} {ended}."
    if job.and_invoice and job.released and job.status != "failed":
        text += " Documents for what was released are made next, in stage 2."
    reasons, more = first_reasons(event_texts(_culprits_first(job.failures)), reasons_in_all=job.failed)
    counts = {"released": job.released, "failed": job.failed}
    counts |= {word: count for word, count in (("stopped", job.stopped), ("pending", job.pending)) if count}
    if job.selected is not None:
        counts = {"selected": job.selected, **counts}
    return Notice(title, text, f"/pages/release-jobs/{job.job_id}", counts, reasons, more)


def _culprits_first(failures: Iterable[BillingEventReasons]) -> list[BillingEventReasons]:
    """Who has spoilt a chunk goes before those who were only in it: that is what somebody can mend."""
    return sorted(failures, key=lambda failure: any(each.code == _SPOILT for each in failure.reasons))


def threshold_notice(crossed: CapThresholdCrossed) -> Notice:
    """A cap whose alert threshold was reached."""
    capped = f"project {crossed.project_id}"
    if crossed.budget_id is not None:
        capped = f"budget {crossed.budget_id} of {capped}"
    released = amount_text(crossed.released, crossed.currency)
    bookings = amount_text(crossed.bookings, crossed.currency)
    currency = f" {crossed.currency}" if crossed.currency else ""
    threshold = f"{crossed.alert_threshold.normalize():f} %"
    return Notice(
        f"Cap threshold reached: {capped} has released {threshold} or more of its bookings",
        f"{released}{currency} of {bookings}{currency} are released. The alert threshold is {threshold}.",
        f"/pages/projects/{crossed.project_id}/cap",
        totals={crossed.currency: {"released": released, "bookings": bookings}} if crossed.currency else {},
    )


def conflict_notice(conflict: CapConfigurationConflict) -> Notice:
    """A project that is capped at both levels, or whose cap would begin anew in another currency."""
    former = ", ".join(conflict.former_currencies)
    what, why = "is capped at both levels", "Its own cap is enforced, and so are budgets of it."
    until = "Until one of them is taken back"
    if former:
        what = f"was capped in {former}"
        why = (
            f"What was released in {former}, its former currency, still stands, and a cap never begins anew."
        )
        until = "Until that is reverted or the currency is set back"
    if former and conflict.budget_ids:
        why += " Its own cap is enforced beside those of budgets, too."
    budgets, more = first_reasons(f"budget {each} is capped" for each in conflict.budget_ids)
    return Notice(
        f"Cap configuration conflict: project {conflict.project_id} {what}",
        f"{why} {until}, nothing above 0 can be released on it.",
        f"/pages/projects/{conflict.project_id}/cap",
        counts={"capped_budgets": len(conflict.budget_ids)},
        reasons=budgets,
        more_reasons=more,
    )


def billed_again_notice(again: BillingEventBilledAgain) -> Notice:
    """A billing event that was released although what it bills is billed already: the guard only warns."""
    reasons, more = first_reasons(warning.message for warning in again.warnings)
    return Notice(
        f"Billed again: billing event {again.billing_event_id} bills what is billed already",
        "It was released all the same, since RECORD_GUARD is set to warn. Revert it if that was not meant.",
        f"/pages/billing-events/{again.billing_event_id}",
        reasons=reasons,
        more_reasons=more,
    )
