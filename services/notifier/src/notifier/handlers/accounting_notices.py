"""What is told of process runs: counts, what was not passed with its first reasons, totals per currency, the page."""

from notifier.domain.notices import Notice, counted, first_reasons, one_line
from notifier.handlers.reasons import event_texts, items_left_out, left_out_text, total_texts
from shared.contracts.accounting_facts import ProcessRunFact


def process_run_notice(run: ProcessRunFact) -> Notice:
    """The end of a process run."""
    figures = ", ".join(
        (
            counted(run.invoices, "invoice", "invoices"),
            counted(run.credit_notes, "credit note", "credit notes"),
            f"{run.not_passed} not passed",
            *((f"{run.pending} pending",) if run.pending else ()),
        )
    )
    what = "Passed to accounting" if run.at_once else "Process run"
    title = f"{what}: {figures}"
    left_out = items_left_out(run.left_out)
    if left_out:
        title += f", {counted(left_out, 'item', 'items')} left out"
    name = f"{one_line(run.name)} ({run.process_run_id})" if run.name else run.process_run_id
    named = f"The process run {name}"
    if run.status == "failed":
        title = f"{what}: could not be worked to its end ({figures})"
        text = f"{named} was given up before all of its billing events were worked on."
    elif run.pending:
        text = (
            f"{named} has ended but for {counted(run.pending, 'billing event', 'billing events')} that could not be "
            "passed by a fault of ours. They are tried again by themselves; you will be told when none is left."
        )
    elif run.not_passed:
        text = f"{named} has ended. Some billing events could not be passed; its log says why."
    elif not (run.invoices or run.credit_notes or run.already_done):
        text = f"{named} has ended. There was nothing to pass."
    else:
        text = f"{named} has ended well."
    if left_out:
        text += left_out_text(run.left_out, of=counted(run.warnings, "event", "events"))
        text += " The run's log names them."
    counts = {"invoices": run.invoices, "credit_notes": run.credit_notes, "not_passed": run.not_passed}
    if run.already_done:
        counts["already_done"] = run.already_done
    if run.warnings:
        counts["warnings"] = run.warnings
    if left_out:
        counts["items_left_out"] = left_out
    if run.pending:
        counts["pending"] = run.pending
    totals = {
        currency: {"invoices": total.invoices, "credit_notes": total.credit_notes}
        for currency, total in run.totals.items()
    }
    for currency, left in run.left_out.items():
        totals.setdefault(currency, {})["left_out"] = left.amount
    reasons, more = first_reasons(event_texts(run.first_reasons), reasons_in_all=run.not_passed)
    path = f"/pages/process-runs/{run.process_run_id}"
    return Notice(title, text, path, counts, reasons, more, total_texts(totals))
