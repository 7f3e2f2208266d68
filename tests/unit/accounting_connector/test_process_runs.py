"""What a process run comes to (domain.md section 4, "Process run")."""

from decimal import Decimal
from typing import Any

import pytest

from accounting_connector.domain.assessment import assess
from accounting_connector.domain.documents import Document, draft_document
from accounting_connector.domain.eligibility import Terms
from accounting_connector.domain.process_runs import (
    FIRST_REASONS_MAX,
    CurrencyTotal,
    LeftOutTotal,
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


def leaving_out(make: Any, *amounts: str, currency: str) -> Document:
    """A document of one event that leaves out its expenses: all its items but the first one."""
    items = [
        make.item(f"i{n}", amount, category="expense" if n else "timecard")
        for n, amount in enumerate(amounts)
    ]
    event = make.event(*items, currency=currency, billing_event_currency=currency)
    company = make.company(item_criteria=(make.criterion('category != "expense"'),))
    assessment = assess(make.candidate(event, company=company), Terms())
    return draft_document(f"D-{currency}", [assessment], Terms(), invoice_date=None)


@pytest.mark.parametrize(
    ("currency", "amounts", "count", "left_out", "message"),
    [
        ("GBP", ("100.00", "20.00"), 1, "20.00", "1 item is left out of the document, 20.00 GBP"),
        ("JPY", ("100", "20", "5"), 2, "25", "2 items are left out of the document, 25 JPY"),
        ("KWD", ("-1.000", "-0.125"), 1, "-0.125", "1 item is left out of the document, -0.125 KWD"),
        ("EUR", ("100.00", "20.00", "-20.00"), 2, "0.00", "2 items are left out of the document, 0.00 EUR"),
    ],
)
def test_what_is_left_out_of_a_document_is_a_warning_with_count_and_amount(
    make: Any, currency: str, amounts: tuple[str, ...], count: int, left_out: str, message: str
) -> None:
    made = leaving_out(make, *amounts, currency=currency)
    (entry,) = document_entries(made)
    assert (entry.result, entry.document_id) == (LogResult.WARNING, made.document_id)
    (reason,) = entry.reasons
    assert (reason.code, reason.message) == (
        "items_left_out",
        f'{message}: not met: category != "expense"',
    )
    assert (reason.detail["count"], reason.detail["amount"]) == (count, left_out)
    assert reason.detail["items"] == [f"i{n}" for n in range(1, len(amounts))]
    tally = add_to_tally(Tally(), [made], [entry])
    assert (tally.warnings, tally.not_passed) == (1, 0)
    assert tally.left_out == {currency: LeftOutTotal(count, Decimal(left_out))}
    assert process_run_status(tally, pending=0) is ProcessRunStatus.COMPLETED


def test_what_is_left_out_is_summed_by_currency_over_all_batches(make: Any) -> None:
    tally = Tally()
    for currency, amounts in (("GBP", ("9.00", "1.00")), ("JPY", ("9", "3")), ("GBP", ("9.00", "2.00"))):
        made = leaving_out(make, *amounts, currency=currency)
        tally = add_to_tally(tally, [made], document_entries(made))
    assert tally.left_out == {
        "GBP": LeftOutTotal(2, Decimal("3.00")),
        "JPY": LeftOutTotal(1, Decimal(3)),
    }
    assert tally.warnings == 3


def test_only_the_events_of_a_shared_document_that_leave_something_out_have_warnings(make: Any) -> None:
    company = make.company(item_criteria=(make.criterion("amount > 5"),))
    events = [
        make.event(make.item("i1", "10.00"), make.item("i2", amount), billing_event_id=event_id)
        for event_id, amount in (("BE-1", "3.00"), ("BE-2", "30.00"))
    ]
    assessments = [assess(make.candidate(each, company=company), Terms()) for each in events]
    made = draft_document("D-1", assessments, Terms(), invoice_date=None)
    assert [(each.billing_event_id, each.item_id) for each in made.left_out_items] == [("BE-1", "i2")]
    assert [entry.result for entry in document_entries(made)] == [LogResult.WARNING, LogResult.OK]


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
