"""What is told of billing runs: a status that concerns people, a step that failed."""

from collections.abc import Mapping
from typing import Final

from notifier.domain.notices import Notice, first_reasons, one_line, words_of
from notifier.handlers.reasons import items_left_out, left_out_text, reason_text, total_texts
from shared.contracts.billing_runs_facts import RunFact, RunStatusChanged, RunStepFact

_WHAT_IT_MEANS: Final[Mapping[str, str]] = {
    "draft_invoices": "Its drafts are made. They can be looked through and validated.",
    "rejected": "Some of its documents are rejected. They wait for somebody to accept, quarantine or cancel them.",
    "validated": "It has ended: what could be validated has its number.",
    "cancelled": "It was cancelled. Its rows are kept.",
}


def status_notice(run: RunStatusChanged) -> Notice:
    """A billing run that has reached a status."""
    reasons, more = first_reasons(map(reason_text, run.reasons))
    counts = dict(run.documents)
    if left_out := items_left_out(run.left_out):
        counts["items_left_out"] = left_out
    totals = {currency: {"net": total} for currency, total in run.totals.items()}
    for currency, left in run.left_out.items():
        totals.setdefault(currency, {})["left_out"] = left.amount
    return Notice(
        f"Billing run {run.run_id}: {words_of(run.status)}",
        _about(run, _WHAT_IT_MEANS[run.status] + left_out_text(run.left_out, of="the run")),
        f"/pages/billing-runs/{run.run_id}",
        counts,
        reasons,
        more,
        total_texts(totals),
    )


def step_failed_notice(run: RunStepFact) -> Notice:
    """A step of a billing run that was broken off."""
    reasons, more = first_reasons(map(reason_text, run.first_reasons))
    return Notice(
        f"Billing run {run.run_id}: the step {words_of(run.step)} failed",
        _about(run, "The step was broken off. Processing the run takes it up where it stopped."),
        f"/pages/billing-runs/{run.run_id}",
        {"to_do": run.to_do, "done": run.done, "warnings": run.warnings, "errors": run.errors},
        reasons,
        more,
    )


def _about(run: RunFact, sentence: str) -> str:
    return f"{one_line(run.description)}. {sentence}" if run.description else sentence
