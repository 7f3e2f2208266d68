"""What holds for every event and every cap (domain.md section 3, "Never over"; section 6, point 1)."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as some

from release.domain.billed import Billed
from release.domain.cap_state import BudgetCap, ProjectCap
from release.domain.events import BillingEvent, BillingEventItem, in_order_of_creation
from release.domain.jobs import decide_chunk
from release.domain.release import Refused, Split, bill
from release.domain.settings import Channel, OnCap, OnChunkFailure, ReleaseRequest
from release.domain.tolerance import Tolerance
from shared.money import ZERO, exact_sum
from unit.release.builders import JOB, SETTINGS, decide, make_event, make_item

BUDGET_IDS = ("b1", "b2")
amounts = some.decimals(min_value=-300, max_value=500, places=2)
totals = some.decimals(min_value=-200, max_value=1200, places=2)
requests = some.builds(ReleaseRequest, some.sampled_from(Channel), some.sampled_from(OnCap))


@some.composite
def items(draw: some.DrawFn, prefix: str = "i") -> tuple[BillingEventItem, ...]:
    count = draw(some.integers(1, 7))
    return tuple(
        make_item(
            f"{prefix}{number}",
            draw(amounts),
            draw(some.sampled_from((None, *BUDGET_IDS))),
            created_at=datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=draw(some.integers(0, 3))),
        )
        for number in range(count)
    )


@some.composite
def caps(draw: some.DrawFn) -> ProjectCap:
    budgets = {
        budget_id: BudgetCap(
            budget_id,
            draw(totals),
            draw(some.booleans()),
            {"GBP": draw(totals)},
            Tolerance(draw(some.sampled_from((ZERO, Decimal("0.99"), Decimal("50.00"))))),
        )
        for budget_id in BUDGET_IDS
    }
    return ProjectCap(
        project_id="P-1",
        currency="GBP",
        bookings=draw(totals),
        apply_billing_cap=draw(some.booleans()),
        auto_cap_billing=draw(some.booleans()),
        bill_to_budget_cap=draw(some.booleans()),
        released={"GBP": draw(totals)},
        budgets=budgets,
    )


def amount_on(event: BillingEvent, budget_id: str) -> Decimal:
    return exact_sum(item.amount for item in event.items if item.budget_id == budget_id)


@given(items(), caps(), requests)
def test_no_release_passes_an_enforced_cap(
    event_items: tuple[BillingEventItem, ...], cap: ProjectCap, request: ReleaseRequest
) -> None:
    outcome = decide(make_event(*event_items), cap, request)
    if isinstance(outcome, Refused):
        return
    released = outcome.event.summary_amount
    if cap.enforced and released > 0:
        assert outcome.cap.remaining >= 0
        assert not cap.conflict
    for budget_id, before in cap.budgets.items():
        after = outcome.cap.budgets[budget_id].released_in("GBP")
        if before.apply_billing_cap and after > before.released_in("GBP"):
            assert after <= before.amount + before.tolerance.amount


@given(items(), caps(), requests)
def test_the_ledger_says_what_was_released(
    event_items: tuple[BillingEventItem, ...], cap: ProjectCap, request: ReleaseRequest
) -> None:
    event = make_event(*event_items)
    outcome = decide(event, cap, request)
    if isinstance(outcome, Refused):
        return
    project_entry, *budget_entries = outcome.ledger_entries
    assert project_entry.budget_id is None
    assert project_entry.amount == outcome.event.summary_amount
    assert project_entry.released_after == cap.released_in("GBP") + project_entry.amount
    assert project_entry.released_after == outcome.cap.released_in("GBP")
    assert {entry.budget_id for entry in budget_entries} == {
        i.budget_id for i in outcome.event.items if i.budget_id
    }
    for entry in budget_entries:
        assert entry.budget_id is not None
        assert entry.amount == amount_on(outcome.event, entry.budget_id)
        assert entry.released_after == cap.budgets[entry.budget_id].released_in("GBP") + entry.amount
        assert entry.released_after == outcome.cap.budgets[entry.budget_id].released_in("GBP")


@given(items(), caps(), requests)
def test_a_split_divides_the_items_and_loses_nothing(
    event_items: tuple[BillingEventItem, ...], cap: ProjectCap, request: ReleaseRequest
) -> None:
    event = make_event(*event_items)
    outcome = decide(event, cap, request)
    split = outcome.preview if isinstance(outcome, Refused) else outcome
    if not isinstance(split, Split):
        return
    assert Counter((*split.released_item_ids, *split.moved_item_ids)) == Counter(
        i.item_id for i in event_items
    )
    assert split.event.summary_amount + split.new_event.summary_amount == event.summary_amount
    assert split.new_event.items
    in_origin, in_new = split.adjustments[::2], split.adjustments[1::2]
    for taken_out, carried_on in zip(in_origin, in_new, strict=True):
        assert taken_out.amount < 0
        assert taken_out.amount + carried_on.amount == 0
        assert taken_out.budget_id == carried_on.budget_id
        assert taken_out.adjusts_item_id == carried_on.adjusts_item_id
        assert taken_out.adjusts_item_id in split.released_item_ids
    origin_ids = {item.item_id for item in split.event.items}
    new_ids = {item.item_id for item in split.new_event.items}
    assert origin_ids == {*split.released_item_ids, *(half.item_id for half in in_origin)}
    assert new_ids == {*split.moved_item_ids, *(half.item_id for half in in_new)}
    assert not origin_ids & new_ids


@given(items(), caps(), requests, some.randoms())
def test_the_order_of_the_items_as_sent_decides_nothing(
    event_items: tuple[BillingEventItem, ...], cap: ProjectCap, request: ReleaseRequest, random: Random
) -> None:
    shuffled = list(event_items)
    random.shuffle(shuffled)
    outcome = decide(make_event(*event_items), cap, request)
    other = decide(make_event(*shuffled), cap, request)
    assert type(outcome) is type(other)
    if isinstance(outcome, Refused) and isinstance(other, Refused):
        assert [reason.code for reason in outcome.reasons] == [reason.code for reason in other.reasons]
    elif not isinstance(outcome, Refused) and not isinstance(other, Refused):
        assert outcome.released_item_ids == other.released_item_ids
    if isinstance(outcome, Split) and isinstance(other, Split):
        assert outcome.moved_item_ids == other.moved_item_ids
        assert outcome.adjustments == other.adjustments


@given(items(), caps())
def test_what_was_offered_is_what_is_done_when_confirmed(
    event_items: tuple[BillingEventItem, ...], cap: ProjectCap
) -> None:
    event = make_event(*event_items)
    asked = decide(event, cap, ReleaseRequest(Channel.QUICK, OnCap.REFUSE))
    confirmed = decide(event, cap, ReleaseRequest(Channel.QUICK, OnCap.SPLIT))
    if isinstance(asked, Refused) and asked.preview is not None:
        assert confirmed == asked.preview
    else:
        assert confirmed == asked


@given(some.lists(items(), min_size=1, max_size=5), caps(), some.sampled_from(OnChunkFailure))
def test_a_chunk_is_decided_like_its_events_one_by_one(
    contents: list[tuple[BillingEventItem, ...]], cap: ProjectCap, on_chunk_failure: OnChunkFailure
) -> None:
    events = {
        f"BE-{number}": make_event(*own, billing_event_id=f"BE-{number}")
        for number, own in enumerate(contents)
    }
    settings = replace(SETTINGS, on_chunk_failure=on_chunk_failure)
    chunk = decide_chunk(
        list(events),
        events,
        {"P-1": cap},
        JOB,
        settings,
        billed=Billed(),
        record_versions={},
        taken_ids=frozenset(),
    )

    running, billed, one_by_one = cap, Billed(), {}
    for billing_event_id, event in events.items():
        outcome = decide(event, running, JOB, settings, billed=billed)
        one_by_one[billing_event_id] = outcome
        if not isinstance(outcome, Refused):
            running = outcome.cap
            bill(billed, outcome)
    culprits = tuple(key for key, outcome in one_by_one.items() if isinstance(outcome, Refused))
    assert chunk.culprits == culprits
    if culprits and on_chunk_failure is OnChunkFailure.FAIL:
        assert chunk.released == 0
        assert chunk.caps == {"P-1": cap}
        assert {key: chunk.outcomes[key] for key in culprits} == {key: one_by_one[key] for key in culprits}
    else:
        assert chunk.outcomes == one_by_one
        assert chunk.caps == {"P-1": running}
        assert chunk.billed == billed
        assert all(len(record.billings) == 1 for record in billed.records.values())


@given(
    some.lists(
        some.tuples(
            some.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2026, 1, 2)),  # noqa: DTZ001
            some.integers(-12, 12),
            some.text("aAbB09._:-", min_size=1, max_size=3),
        ),
        min_size=2,
        max_size=8,
    )
)
def test_order_is_by_instant_then_id_by_code_point(drawn: list[tuple[datetime, int, str]]) -> None:
    made = [
        make_item(item_id, "1", created_at=moment.replace(tzinfo=timezone(timedelta(hours=hours))))
        for moment, hours, item_id in drawn
    ]
    ordered = in_order_of_creation(made)
    assert Counter(map(id, ordered)) == Counter(map(id, made))
    for first, second in pairwise(ordered):
        first_key = (first.created_at.astimezone(UTC), [ord(letter) for letter in first.item_id])
        assert first_key <= (second.created_at.astimezone(UTC), [ord(letter) for letter in second.item_id])
