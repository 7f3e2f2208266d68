"""Which billing events a run takes, its description, and settings that fit together (domain.md section 5)."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from billing_runs.domain.scope import (
    BatchesScope,
    BillingCycle,
    BillingEvent,
    CycleScope,
    EventsScope,
    EventStage,
    FilterScope,
    LeftOut,
    Narrowing,
    RunKind,
    Scope,
    Selection,
    accounts_of_cycle,
    generated_description,
    is_in_scope,
    select_events,
)
from billing_runs.domain.settings import (
    OnRejected,
    ProcessType,
    RunSettings,
    Threshold,
    quarantine_settings,
    settings_problems,
)
from billing_runs.store.scopes import scope_body, scope_of

NOVEMBER = CycleScope("MONTHLY", date_from=date(2026, 11, 1), last_transaction_date=date(2026, 12, 1))
EVENT = BillingEvent(
    billing_event_id="BE-1",
    project_id="P-1",
    batch_id="BB-1",
    account_id="A-1",
    date=date(2026, 11, 20),
    currency="GBP",
    summary_amount=Decimal("100.00"),
    stage=EventStage.RELEASED,
)
ALL = FilterScope()
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)


@pytest.mark.parametrize(
    "day, inside",
    [
        (date(2026, 10, 31), False),
        (date(2026, 11, 1), True),
        (date(2026, 11, 30), True),
        (date(2026, 12, 1), False),
    ],
)
def test_cycle_run_takes_from_the_first_day_up_to_before_the_last_transaction_date(
    day: date, inside: bool
) -> None:
    assert is_in_scope(replace(EVENT, date=day), NOVEMBER, frozenset({"A-1"})) is inside


@pytest.mark.parametrize("account_id, inside", [("A-1", True), ("A-2", False), (None, False)])
def test_cycle_run_takes_the_accounts_of_its_cycle(account_id: str | None, inside: bool) -> None:
    assert is_in_scope(replace(EVENT, account_id=account_id), NOVEMBER, frozenset({"A-1"})) is inside


def test_accounts_of_a_cycle_are_those_it_lists_else_those_that_name_it() -> None:
    named = [("A-1", "MONTHLY"), ("A-2", "WEEKLY"), ("A-3", None)]

    assert accounts_of_cycle(BillingCycle("MONTHLY", None), named) == {"A-1"}
    assert accounts_of_cycle(BillingCycle("MONTHLY", frozenset({"A-2"})), named) == {"A-2"}
    assert accounts_of_cycle(BillingCycle("MONTHLY", frozenset()), named) == frozenset()


@pytest.mark.parametrize(
    "scope, inside",
    [
        (EventsScope(frozenset({"BE-1", "BE-9"})), True),
        (EventsScope(frozenset({"BE-9"})), False),
        (BatchesScope(frozenset({"BB-1"})), True),
        (BatchesScope(frozenset({"BB-9"})), False),
        (ALL, True),
        (FilterScope(project_id="P-1", account_id="A-1", currency="GBP", batch_id="BB-1"), True),
        (FilterScope(project_id="P-9", account_id="A-1"), False),
        (FilterScope(account_id="A-9"), False),
        (FilterScope(currency="EUR"), False),
        (FilterScope(batch_id="BB-9"), False),
        (FilterScope(date_from=EVENT.date, date_to=EVENT.date), True),
        (FilterScope(date_from=date(2026, 11, 21)), False),
        (FilterScope(date_to=date(2026, 11, 19)), False),
        (FilterScope(narrowing=Narrowing(exclude_ids=frozenset({EVENT.billing_event_id}))), False),
        (FilterScope(narrowing=Narrowing(exclude_ids=frozenset({"BE-9"}))), True),
        (
            BatchesScope(frozenset({"BB-1"}), Narrowing(exclude_ids=frozenset({EVENT.billing_event_id}))),
            False,
        ),
    ],
)
def test_exceptional_run_takes_what_is_named_or_passes_the_whole_filter(scope: Scope, inside: bool) -> None:
    assert is_in_scope(EVENT, scope, frozenset()) is inside


def _select(*events: BillingEvent, release_first: bool = False) -> Selection:
    return select_events(
        events, run_id="R-1", scope=ALL, cycle_accounts=frozenset(), release_first=release_first
    )


@pytest.mark.parametrize(
    "event, codes",
    [
        (replace(EVENT, stage=EventStage.AWAITING_RELEASE), ("not_released",)),
        (replace(EVENT, stage=EventStage.QUEUED), ("not_released",)),
        (replace(EVENT, stage=EventStage.REVERTING), ("not_released",)),
        (replace(EVENT, stage=EventStage.INVOICED), ("already_invoiced",)),
        (replace(EVENT, stage=EventStage.CLOSED), ("closed",)),
        (replace(EVENT, claimed_by_run_id="R-2"), ("claimed_by_run",)),
        (
            replace(EVENT, stage=EventStage.INCOMPLETE, missing=("account", "services_product")),
            ("not_released", "account_missing", "services_product_missing"),
        ),
    ],
)
def test_event_that_cannot_be_invoiced_is_left_out_and_listed(
    event: BillingEvent, codes: tuple[str, ...]
) -> None:
    assert _select(event) == Selection((), (), (), (LeftOut("BE-1", codes),))


@pytest.mark.parametrize("stage", [EventStage.REVERTED, EventStage.DELETED])
def test_event_that_is_gone_is_not_even_listed(stage: EventStage) -> None:
    assert _select(replace(EVENT, stage=stage)) == Selection((), (), (), ())


def test_incremental_run_takes_only_what_is_new() -> None:
    held = replace(EVENT, claimed_by_run_id="R-1")
    new = replace(EVENT, billing_event_id="BE-2")

    assert _select(held, new) == Selection(taken=(new,), to_release=(), held=(held,), left_out=())


def test_run_that_releases_first_takes_what_awaits_release() -> None:
    awaiting = replace(EVENT, stage=EventStage.AWAITING_RELEASE)

    assert _select(awaiting, release_first=True) == Selection((), (awaiting,), (), ())


def test_events_are_taken_in_order_of_date_then_id() -> None:
    first = replace(EVENT, billing_event_id="BE-9", date=date(2026, 11, 1))
    third = replace(EVENT, billing_event_id="BE-2")

    assert _select(third, EVENT, first).taken == (first, EVENT, third)


@pytest.mark.parametrize("zero_amounts, ids", [(False, ["BE-1", "BE-4"]), (True, ["BE-1", "BE-3", "BE-4"])])
def test_zero_amounts_are_expected_to_be_invoiced_only_where_they_are(
    zero_amounts: bool, ids: list[str]
) -> None:
    zero = replace(EVENT, billing_event_id="BE-3", summary_amount=Decimal("0.00"))
    waiting = replace(EVENT, billing_event_id="BE-4", stage=EventStage.AWAITING_RELEASE)
    held = [
        replace(waiting, billing_event_id="BE-5", on_hold=True),
        replace(waiting, billing_event_id="BE-6", missing=("account",)),
    ]
    selection = select_events(
        [EVENT, zero, waiting, *held], run_id="R-1", scope=ALL, cycle_accounts=frozenset(), release_first=True
    )

    expected = selection.expected(zero_amounts=zero_amounts)

    assert sorted(event.billing_event_id for event in expected) == ids
    assert len(selection.to_release) == 3


def test_generated_description() -> None:
    day = date(2026, 11, 30)

    assert generated_description("R-1", ALL, day) == "Billing run R-1 (exceptional; invoice date 2026-11-30)"
    assert (
        generated_description("R-1", NOVEMBER, day)
        == "Billing run R-1 (cycle MONTHLY; invoice date 2026-11-30)"
    )


SETTINGS = RunSettings(
    kind=RunKind.EXCEPTIONAL, scope=EventsScope(frozenset({"BE-1"})), invoice_date=date(2026, 11, 30)
)
CYCLE_SETTINGS = replace(SETTINGS, kind=RunKind.CYCLE, scope=NOVEMBER)


@pytest.mark.parametrize(
    "settings, fields",
    [
        (SETTINGS, []),
        (CYCLE_SETTINGS, []),
        (replace(SETTINGS, scope=ALL), []),
        (replace(SETTINGS, collection_date=date(2026, 11, 30)), []),
        (replace(SETTINGS, threshold=Threshold(Decimal("50.00"), "GBP")), []),
        (replace(SETTINGS, kind=RunKind.CYCLE), ["scope"]),
        (replace(SETTINGS, scope=NOVEMBER), ["scope"]),
        (
            replace(CYCLE_SETTINGS, scope=replace(NOVEMBER, last_transaction_date=date(2026, 11, 1))),
            ["scope.last_transaction_date"],
        ),
        (replace(SETTINGS, scope=EventsScope(frozenset())), ["scope.billing_event_ids"]),
        (replace(SETTINGS, scope=BatchesScope(frozenset())), ["scope.batch_ids"]),
        (
            replace(SETTINGS, scope=FilterScope(date_from=date(2026, 11, 2), date_to=date(2026, 11, 1))),
            ["scope.filter.date_to"],
        ),
        (replace(SETTINGS, collection_date=date(2026, 11, 29)), ["collection_date"]),
        (replace(SETTINGS, threshold=Threshold(Decimal(-1), "GBP")), ["threshold.amount"]),
        (replace(SETTINGS, threshold=Threshold(Decimal("0.001"), "GBP")), ["threshold.amount"]),
        (replace(SETTINGS, threshold=Threshold(Decimal(1), "XXQ")), ["threshold.currency"]),
    ],
)
def test_settings_that_do_not_fit_each_other_are_told_by_field(
    settings: RunSettings, fields: list[str]
) -> None:
    assert [problem.field for problem in settings_problems(settings)] == fields


def test_quarantine_run_is_manual_with_its_origins_other_settings() -> None:
    origin = replace(SETTINGS, process_type=ProcessType.FULL_AUTOMATIC, on_rejected=OnRejected.MOVE)

    assert quarantine_settings(origin) == replace(origin, process_type=ProcessType.MANUAL)


@pytest.mark.parametrize(
    ("registered_at", "amount_changed_at", "is_there"),
    [(NOON, None, True), (NOON, NOON, True), (None, None, True), (LATER, None, False), (NOON, LATER, False)],
)
def test_as_of_leaves_out_what_came_or_changed_in_amount_later(
    registered_at: datetime | None, amount_changed_at: datetime | None, is_there: bool
) -> None:
    event = replace(EVENT, registered_at=registered_at, amount_changed_at=amount_changed_at)
    for scope in (FilterScope(narrowing=Narrowing(NOON)), BatchesScope(frozenset({"BB-1"}), Narrowing(NOON))):
        assert is_in_scope(event, scope, frozenset()) is is_there
        assert scope_of(scope_body(scope)) == scope
