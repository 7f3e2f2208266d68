"""What a process run comes to (domain.md section 4, "Process run")."""

from decimal import Decimal
from typing import Any

import pytest

from accounting_connector.domain.documents import Document, assess, draft_document
from accounting_connector.domain.eligibility import Terms
from accounting_connector.domain.process_runs import (
    FIRST_REASONS_MAX,
    CurrencyTotal,
    LogResult,
    ProcessRunStatus,
    Tally,
    add_to_tally,
    already_done_entry,
    document_entries,
    is_passed_at_once,
    not_passed_entry,
    pending_entry,
    process_run_status,
)
from accounting_connector.domain.reasons import Reason

REASONS = (Reason("zero_amount", "sums to zero"),)


def document(make: Any, *amounts: str, currency: str = "GBP") -> Document:
    assessments = [
        assess(
            make.candidate(
                make.event(
                    make.item("i1", amount),
                    billing_event_id=f"BE-{n}",
                    currency=currency,
                    billing_event_currency=currency,
                )
            ),
            Terms(),
        )
        for n, amount in enumerate(amounts)
    ]
    return draft_document("D-1", assessments, Terms(), invoice_date=None)


def test_documents_are_counted_once_and_their_events_logged_each(make: Any) -> None:
    shared = document(make, "10.00", "5.00")
    entries = document_entries(shared)
    assert [(e.billing_event_id, e.result, e.document_id) for e in entries] == [
        ("BE-0", LogResult.OK, "D-1"),
        ("BE-1", LogResult.OK, "D-1"),
    ]
    tally = add_to_tally(Tally(), [shared], entries)
    assert (tally.invoices, tally.credit_notes, tally.not_passed) == (1, 0, 0)


def test_totals_are_kept_by_currency_and_kind_over_all_batches(make: Any) -> None:
    tally = Tally()
    for batch in (
        [document(make, "10.00"), document(make, "-4.00")],
        [document(make, "2.50"), document(make, "300", currency="JPY")],
    ):
        tally = add_to_tally(tally, batch, [entry for made in batch for entry in document_entries(made)])
    assert (tally.invoices, tally.credit_notes) == (3, 1)
    assert tally.totals == {
        "GBP": CurrencyTotal(Decimal("12.50"), Decimal("4.00")),
        "JPY": CurrencyTotal(Decimal(300), Decimal(0)),
    }


def test_the_loser_of_a_race_succeeds_and_names_the_winner() -> None:
    entry = already_done_entry("BE-1", "D-7")
    assert (entry.result, entry.document_id, entry.reasons[0].code) == (LogResult.OK, "D-7", "already_done")
    tally = add_to_tally(Tally(), [], [entry])
    assert (tally.already_done, tally.not_passed, tally.invoices) == (1, 0, 0)
    assert process_run_status(tally, pending=0) is ProcessRunStatus.COMPLETED


def test_only_the_first_reasons_are_told() -> None:
    tally = Tally()
    for start in range(0, 30, 10):
        tally = add_to_tally(tally, [], [not_passed_entry(f"BE-{start + n}", REASONS) for n in range(10)])
    assert tally.not_passed == 30
    assert [entry.billing_event_id for entry in tally.first_reasons] == [
        f"BE-{n}" for n in range(FIRST_REASONS_MAX)
    ]
    assert tally.first_reasons[0].reasons == REASONS


@pytest.mark.parametrize(
    "not_passed, pending, failed, status",
    [
        (0, 0, False, ProcessRunStatus.COMPLETED),
        (1, 0, False, ProcessRunStatus.COMPLETED_WITH_ERRORS),
        (1, 1, False, ProcessRunStatus.IN_PROGRESS),
        (0, 2, False, ProcessRunStatus.IN_PROGRESS),
        (0, 2, True, ProcessRunStatus.FAILED),
    ],
)
def test_the_status_follows_from_the_tally(
    not_passed: int, pending: int, failed: bool, status: ProcessRunStatus
) -> None:
    tally = add_to_tally(Tally(), [], [not_passed_entry(f"BE-{n}", REASONS) for n in range(not_passed)])
    assert process_run_status(tally, pending=pending, failed=failed) is status


def test_pending_events_count_as_nothing_yet() -> None:
    assert add_to_tally(Tally(), [], [pending_entry("BE-1")]) == Tally()


def test_a_single_small_event_is_passed_at_once() -> None:
    assert is_passed_at_once([200])
    assert not is_passed_at_once([201])
    assert is_passed_at_once([201], sync_item_limit=201)
    assert not is_passed_at_once([1, 1])
    assert not is_passed_at_once([])
