"""What operators are told: dead letters, events that cannot go on, and books that do not balance."""

from notifier.domain.dead_letter_digest import DeadLetterDigest
from notifier.domain.notices import Notice, counted, first_reasons, one_line, words_of
from shared.contracts.facts import ReconciliationDifferenceFound, WorkPending
from shared.contracts.release_facts import BillingEventWaits, CategoryMismatch

_ALERTS_PATH = "/pages/alerts"


def mismatch_notice(mismatch: CategoryMismatch) -> Notice:
    """A billing event whose items name records of another kind."""
    items, more = first_reasons((f"item {each}" for each in mismatch.item_ids), reasons_in_all=mismatch.items)
    return Notice(
        f"Category mismatch: billing event {mismatch.billing_event_id} cannot be released",
        "The category of these items is not the kind of the business records that they name. A later version of the "
        "billing event, or of the records, mends it.",
        f"/pages/billing-events/{mismatch.billing_event_id}",
        {"items": mismatch.items},
        items,
        more,
    )


def waits_notice(waits: BillingEventWaits) -> Notice:
    """A billing event that has been incomplete for long."""
    sources, more = first_reasons(
        (f"{words_of(each.kind)} {each.id} is not known" for each in waits.waits_for),
        reasons_in_all=waits.sources,
    )
    return Notice(
        f"Billing event {waits.billing_event_id} is incomplete for more than "
        f"{counted(waits.alert_days, 'day', 'days')}",
        f"Since {waits.incomplete_since:%Y-%m-%d %H:%M} UTC it waits for what PSA has not sent; it cannot be released.",
        f"/pages/billing-events/{waits.billing_event_id}",
        {"waits_for": waits.sources},
        sources,
        more,
    )


def dead_letters_notice(digest: DeadLetterDigest) -> Notice:
    """What one service could not take from one topic within an hour, so far."""
    service = digest.key.service
    reasons, more = first_reasons([digest.first_reason], reasons_in_all=digest.count)
    return Notice(
        digest.title,
        f"The service {service} could not take these messages, put them aside and went on. "
        f"`sluice dead-letters list {service}` shows them; they can be mended and replayed.",
        _ALERTS_PATH,
        {"dead_letters": digest.count},
        reasons,
        more,
    )


def reconciliation_notice(service: str, found: ReconciliationDifferenceFound) -> Notice:
    """Books that do not balance."""
    failed = [check for check in found.checks if not check.balanced]
    reasons, more = first_reasons(
        f"{words_of(check.check)}: {counted(len(check.differences), 'difference', 'differences')}"
        for check in failed
    )
    return Notice(
        one_line(f"The books of {service} do not balance"),
        f"The reconciliation {found.reconciliation_id} found differences. `sluice reconcile` shows them in full.",
        _ALERTS_PATH,
        {"checks": len(found.checks), "not_balanced": len(failed)},
        reasons,
        more,
    )


def work_pending_notice(service: str, work: WorkPending) -> Notice:
    """Work that failed by our own fault, the first of its kind within an hour."""
    return Notice(
        one_line(f"Work of {service} is pending: {words_of(work.kind)} {work.id}"),
        f"The service {service} could not do this by a fault of ours, and perhaps more of its kind. Nothing is lost: "
        "it is tried again, at the latest each hour, until it succeeds or somebody ends it. The log of the service "
        "names the error.",
        _ALERTS_PATH,
        reasons=(one_line(work.reason),),
    )
