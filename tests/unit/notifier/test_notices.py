"""What mails and alerts say of the facts of the other services (domain.md section 8)."""

from typing import Any

from contract.samples import SAMPLES
from notifier.handlers.accounting_notices import process_run_notice
from notifier.handlers.billing_run_notices import status_notice
from notifier.handlers.operator_notices import reconciliation_notice
from notifier.handlers.release_notices import billed_again_notice, conflict_notice, job_notice
from shared.contracts.catalogue import CATALOGUE

JOB = "release.job.completed.v1"
RUN = "accounting.process-run.completed.v1"
DIFFERENCES = "release.reconciliation.difference-found.v1"


def fact(type_: str, **changed: Any) -> Any:
    return CATALOGUE[type_].body_model.model_validate(SAMPLES[type_] | changed)


def failure(event_id: str, code: str) -> dict[str, Any]:
    reason = {"code": code, "message": f"It is {code}.", "detail": {}}
    return {"billing_event_id": event_id, "reasons": [reason]}


def test_who_has_spoilt_a_chunk_is_named_first() -> None:
    failures = [
        failure("BE-1", "batch_failed"),
        failure("BE-2", "on_hold"),
        failure("BE-3", "batch_failed"),
        failure("BE-4", "company_missing"),
    ]
    notice = job_notice(fact(JOB, status="completed_with_errors", failed=14, failures=failures))
    assert [reason.partition(":")[0] for reason in notice.reasons] == ["BE-2", "BE-4", "BE-1", "BE-3"]
    assert notice.more_reasons == 10


def test_differences_are_counted_by_check() -> None:
    checks = [
        {"check": "one_live_document", "balanced": False, "differences": [{"document_id": "D-1"}]},
        {"check": "numbers", "balanced": False, "differences": [{"number": "1"}, {"number": "2"}]},
    ]
    notice = reconciliation_notice("release", fact(DIFFERENCES, checks=checks))
    assert notice.reasons == ("one live document: 1 difference", "numbers: 2 differences")
    assert notice.counts == {"checks": 2, "not_balanced": 2}


def test_what_had_nothing_to_do_says_so() -> None:
    job = job_notice(fact(JOB, status="completed", released=0, failed=0, failures=[], and_invoice=True))
    assert job.text == "The job J-1 has ended: nothing of what was asked for awaited release."
    nothing = {"invoices": 0, "credit_notes": 0, "not_passed": 0, "already_done": 0, "first_reasons": []}
    run = process_run_notice(fact(RUN, status="completed", totals={}, **nothing))
    assert run.text.endswith("has ended. There was nothing to pass.")
    assert process_run_notice(fact(RUN, **nothing | {"already_done": 1})).text.endswith("has ended well.")


def test_a_process_run_that_left_items_out_says_how_many_and_what_they_come_to() -> None:
    left_out = {"JPY": {"items": 2, "amount": "500"}, "GBP": {"items": 1, "amount": "20.00"}}
    ended = fact(RUN, status="completed", not_passed=0, first_reasons=[], warnings=2, left_out=left_out)
    notice = process_run_notice(ended)
    assert notice.title == "Process run: 1 invoice, 0 credit notes, 0 not passed, 3 items left out"
    assert "still to be billed: 3 items of 2 events (20.00 GBP, 500 JPY)." in notice.text
    assert (notice.counts["warnings"], notice.counts["items_left_out"]) == (2, 3)
    assert (notice.totals["GBP"]["left_out"], notice.totals["JPY"]["left_out"]) == ("20.00", "500")


def test_what_is_pending_is_said_to_be_tried_again() -> None:
    notice = process_run_notice(fact(RUN, not_passed=0, pending=2, first_reasons=[]))
    assert notice.title.endswith("0 not passed, 2 pending")
    assert "2 billing events that could not be passed by a fault of ours" in notice.text
    assert notice.counts["pending"] == 2


def test_a_billing_run_says_what_its_documents_leave_out() -> None:
    left_out = {"GBP": {"items": 1, "amount": "20.00"}, "JPY": {"items": 2, "amount": "500"}}
    notice = status_notice(fact("billing-runs.run.status-changed.v1", left_out=left_out))
    assert notice.text.endswith("still to be billed: 3 items of the run (20.00 GBP, 500 JPY).")
    assert notice.counts["items_left_out"] == 3
    assert notice.totals == {"GBP": {"net": "1000.00", "left_out": "20.00"}, "JPY": {"left_out": "500"}}


def test_a_process_runs_notice_has_its_counts_its_totals_by_currency_and_its_page() -> None:
    run = fact(RUN, invoices=2, credit_notes=1, not_passed=3, already_done=4, process_run_id="PR-9")
    notice = process_run_notice(run)
    assert notice.title == "Process run: 2 invoices, 1 credit note, 3 not passed"
    assert notice.counts == {"invoices": 2, "credit_notes": 1, "not_passed": 3, "already_done": 4}
    assert {currency: dict(sums) for currency, sums in notice.totals.items()} == SAMPLES[RUN]["totals"]
    assert notice.path == "/pages/process-runs/PR-9"
    assert notice.more_reasons == 3 - len(notice.reasons)
    at_once = process_run_notice(
        fact(RUN, invoices=1, credit_notes=0, not_passed=0, already_done=0, at_once=True)
    )
    assert at_once.title == "Passed to accounting: 1 invoice, 0 credit notes, 0 not passed"
    assert "already_done" not in at_once.counts


def test_a_job_that_was_stopped_or_is_still_tried_says_so() -> None:
    stopped = job_notice(
        fact(JOB, and_invoice=False, status="stopped", released=2, failed=0, stopped=3, failures=[])
    )
    assert stopped.title == "Release job stopped: 2 released, 0 failed, 3 stopped"
    assert stopped.text.endswith("What it had not begun awaits release again.")
    pending = job_notice(
        fact(
            JOB,
            and_invoice=False,
            status="completed_with_errors",
            released=2,
            failed=0,
            pending=3,
            failures=[],
        )
    )
    assert pending.title == "Release job: 2 released, 0 failed, 3 pending"
    assert "3 billing events: a fault of the system's own" in pending.text


def test_what_was_billed_again_is_told_with_what_the_guard_says() -> None:
    notice = billed_again_notice(fact("release.billing-event.billed-again.v1"))
    assert notice.title == "Billed again: billing event BE-1 bills what is billed already"
    assert notice.reasons == ("Timecard T-1 is worth 100.00 GBP; 100.00 GBP of it is billed by BE-0.",)


def test_a_conflict_says_what_is_in_conflict() -> None:
    both_levels = conflict_notice(fact("release.cap.configuration-conflict.v1", former_currencies=[]))
    assert both_levels.title.endswith("P-100 is capped at both levels")
    former = conflict_notice(fact("release.cap.configuration-conflict.v1", budget_ids=[]))
    assert former.title.endswith("P-100 was capped in EUR")
    assert "reverted or the currency is set back" in former.text
