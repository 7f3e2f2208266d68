"""Release jobs: selection, chunks and modes (domain.md section 2)."""

from dataclasses import replace
from datetime import date

import pytest

from release.domain.billed import Billed
from release.domain.jobs import (
    Found,
    JobMode,
    cut_into_chunks,
    decide_chunk,
    in_order_found,
    is_done_at_once,
    retry_seconds,
)
from release.domain.release import Split
from unit.release.builders import JOB, SETTINGS, make_budget, make_cap, make_event, make_item


def test_what_batches_and_filters_find_is_worked_by_date_then_id_by_code_point() -> None:
    first, second = date(2026, 11, 1), date(2026, 11, 2)
    found = [
        Found("a", first),
        Found("b10", second),
        Found("B", first),
        Found("b9", second),
        Found("a", first),
    ]
    assert in_order_found(found) == ["B", "a", "b10", "b9"]


def test_chunks_hold_as_many_events_as_the_batch_size() -> None:
    settings = replace(SETTINGS, release_batch_size=2)
    assert list(cut_into_chunks("abcde", settings)) == [("a", "b"), ("c", "d"), ("e",)]
    assert list(cut_into_chunks("", settings)) == []


@pytest.mark.parametrize(
    ("mode", "event_count", "item_count", "at_once"),
    [
        (JobMode.AUTO, 2, 200, True),
        (JobMode.AUTO, 2, 201, False),
        (JobMode.AUTO, 201, 0, False),
        (JobMode.BACKGROUND, 1, 1, False),
    ],
)
def test_auto_is_done_at_once_up_to_the_batch_size_in_items(
    mode: JobMode, event_count: int, item_count: int, at_once: bool
) -> None:
    assert is_done_at_once(mode, event_count, item_count, SETTINGS) == at_once


def test_two_splits_of_one_lineage_in_a_chunk_get_different_ids() -> None:
    cap = make_cap(
        "0", "0", make_budget("b1", "10"), make_budget("b2", "10"), enforced=False, bill_to_budget_cap=True
    )
    events = {
        "BE-1": make_event(make_item("i1", "15", "b1")),
        "BE-1.2": make_event(
            make_item("i2", "15", "b2"), billing_event_id="BE-1.2", origin_id="BE-1", root_id="BE-1"
        ),
    }
    decision = decide_chunk(
        list(events),
        events,
        {"P-1": cap},
        JOB,
        SETTINGS,
        billed=Billed(),
        record_versions={},
        taken_ids={"BE-1.2"},
    )
    splits = [outcome for outcome in decision.outcomes.values() if isinstance(outcome, Split)]
    assert [split.new_event.billing_event_id for split in splits] == ["BE-1.3", "BE-1.4"]
    assert {split.new_event.root_id for split in splits} == {"BE-1"}


def test_a_chunk_that_failed_by_our_fault_is_tried_more_and_more_rarely_up_to_each_hour() -> None:
    waits = [retry_seconds(tries) for tries in range(1, 9)]
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert retry_seconds(100_000) == 3600
