"""Deciding the release of one event: refusals in their order, and what a release and a split write (sections 2, 3)."""

from dataclasses import replace
from decimal import Decimal

import pytest

from release.domain.cap_state import ProjectCap
from release.domain.events import BillingEvent, RecordKey, billed_records
from release.domain.reasons import codes_of
from release.domain.release import Outcome, Refused, Released, Split
from release.domain.settings import Channel, ReleaseRequest
from release.domain.stages import Stage
from unit.release.builders import (
    ASKED,
    CONFIRMED,
    JOB,
    SETTINGS,
    decide,
    make_budget,
    make_cap,
    make_event,
    make_item,
)


def refused(outcome: Outcome) -> Refused:
    assert isinstance(outcome, Refused)
    return outcome


def split(outcome: Outcome) -> Split:
    assert isinstance(outcome, Split)
    return outcome


def hopeless_event() -> BillingEvent:
    """An event that everything but its stage speaks against."""
    return make_event(
        make_item("i1", "400", services_product=None),
        on_hold=True,
        account_id=None,
        company_id=None,
        billing_event_currency=None,
    )


NEWER_RECORD = {RecordKey("timecard", "T-i1"): 2}
NOT_PERMITTED = ReleaseRequest(Channel.QUICK, permitted_projects=frozenset({"P-9"}))


def test_all_reasons_are_reported_at_once_in_order_the_cap_last() -> None:
    hopeless = hopeless_event()
    mismatched = replace(
        hopeless, items=tuple(replace(each, category_mismatch=True) for each in hopeless.items)
    )
    outcome = decide(mismatched, make_cap(), NOT_PERMITTED, record_versions=NEWER_RECORD)
    assert codes_of(refused(outcome).reasons) == (
        "on_hold",
        "not_permitted",
        "out_of_sync",
        "category_mismatch",
        "account_missing",
        "company_missing",
        "currency_missing",
        "services_product_missing",
        "cap_exceeded",
    )
    assert refused(outcome).preview is None


def test_optional_fields_are_not_required() -> None:
    settings = replace(
        SETTINGS, optional_on_release=frozenset({"account", "company", "currency", "services_product"})
    )
    event = replace(hopeless_event(), on_hold=False)
    assert isinstance(decide(event, make_cap("1000", "0"), CONFIRMED, settings), Released)


def test_a_missing_product_names_the_items_without_one() -> None:
    event = make_event(make_item("i1", "1"), make_item("i2", "1", services_product=None), account_id=None)
    account, product = refused(decide(event, make_cap())).reasons
    assert (account.code, account.detail) == ("account_missing", {})
    assert (product.code, product.detail) == ("services_product_missing", {"item_ids": ["i2"]})


@pytest.mark.parametrize("name", ["account", "company", "currency", "services_product"])
def test_each_required_field_is_made_optional_by_its_own_name(name: str) -> None:
    settings = replace(SETTINGS, optional_on_release=frozenset({name}))
    outcome = decide(replace(hopeless_event(), on_hold=False), make_cap("1000", "0"), CONFIRMED, settings)
    codes = codes_of(refused(outcome).reasons)
    assert len(codes) == 3
    assert f"{name}_missing" not in codes


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        (Stage.DELETED, "deleted"),
        (Stage.REVERTED, "reverted"),
        (Stage.REVERTING, "reverting"),
        (Stage.CLOSED, "closed"),
        (Stage.RELEASED, "already_released"),
        (Stage.INVOICED, "already_released"),
        (Stage.QUEUED, "queued"),
        (Stage.INCOMPLETE, "incomplete"),
    ],
)
def test_a_stage_speaks_alone(stage: Stage, code: str) -> None:
    event = replace(hopeless_event(), stage=stage, queued_by="J-1")
    outcome = decide(event, make_cap(), NOT_PERMITTED, record_versions=NEWER_RECORD)
    assert codes_of(refused(outcome).reasons) == (code,)


def test_an_event_is_not_queued_for_its_own_job() -> None:
    event = make_event(make_item("i1", "100"), stage=Stage.QUEUED, queued_by="J-1")
    released = decide(event, make_cap(), replace(JOB, job_id="J-1"))
    assert isinstance(released, Released)
    assert (released.event.stage, released.event.queued_by) == (Stage.RELEASED, None)
    assert codes_of(refused(decide(event, make_cap(), replace(JOB, job_id="J-2"))).reasons) == ("queued",)


def test_an_event_whose_project_or_budget_is_gone_is_incomplete() -> None:
    event = make_event(make_item("i1", "100", "b1"))
    removed = replace(make_budget("b1", "1000", capped=False), removed=True)
    for cap in (None, make_cap(), make_cap("10000", "9700", removed)):
        assert codes_of(refused(decide(event, cap)).reasons) == ("incomplete",)


def test_a_project_on_hold_holds_its_events() -> None:
    outcome = refused(decide(make_event(make_item("i1", "100")), make_cap(on_hold=True)))
    assert codes_of(outcome.reasons) == ("on_hold",)
    assert outcome.reasons[0].detail == {"billing_event": False, "project": True}


def test_not_permitted_names_whom_to_ask() -> None:
    outcome = refused(decide(make_event(make_item("i1", "100")), make_cap(), NOT_PERMITTED))
    assert codes_of(outcome.reasons) == ("not_permitted",)
    assert "support@example.com" in outcome.reasons[0].message


def test_out_of_sync_is_only_a_later_record_of_an_item_that_names_a_version() -> None:
    event = make_event(make_item("i1", "100"))
    same = {RecordKey("timecard", "T-i1"): 1, RecordKey("expense", "T-i1"): 9}
    assert isinstance(decide(event, make_cap(), record_versions=same), Released)
    behind = refused(decide(event, make_cap(), record_versions=NEWER_RECORD))
    assert behind.reasons[0].detail == {"item_ids": ["i1"]}
    unversioned = make_event(make_item("i1", "100", business_record_version=None))
    assert isinstance(decide(unversioned, make_cap(), record_versions=NEWER_RECORD), Released)


def test_caps_that_both_stand_against_an_event_follow_the_conflict() -> None:
    cap = make_cap("10000", "9700", make_budget("b1", "100"))
    outcome = refused(decide(make_event(make_item("i1", "400", "b1")), cap))
    assert codes_of(outcome.reasons) == ("cap_configuration_conflict", "cap_exceeded", "budget_cap_exceeded")


def test_another_currency_under_a_conflict_has_both_codes_and_no_comparison() -> None:
    cap = make_cap("10000", "9700", make_budget("b1", "100"))
    outcome = refused(decide(make_event(make_item("i1", "400", "b1"), currency="EUR"), cap))
    assert codes_of(outcome.reasons) == ("cap_configuration_conflict", "cap_currency_mismatch")


def test_another_currency_is_refused_where_any_budget_is_capped() -> None:
    cap = make_cap("10000", "0", make_budget("b1", "100"), enforced=False)
    outcome = refused(decide(make_event(make_item("i1", "-400"), currency="EUR"), cap))
    assert codes_of(outcome.reasons) == ("cap_currency_mismatch",)


def test_a_tracked_project_counts_other_currencies_apart() -> None:
    cap = make_cap("10000", "9700", enforced=False, apply_billing_cap=True)
    outcome = decide(make_event(make_item("i1", "400.00"), currency="EUR"), cap)
    assert isinstance(outcome, Released)
    assert outcome.cap.released == {"GBP": Decimal(9700), "EUR": Decimal(400)}
    assert (outcome.decision.remaining_before, outcome.decision.remaining_after) == (
        Decimal(300),
        Decimal(300),
    )
    assert [(entry.currency, entry.released_after) for entry in outcome.ledger_entries] == [
        ("EUR", Decimal(400))
    ]


def test_a_sum_of_zero_fits_though_bookings_were_lowered() -> None:
    event = make_event(make_item("i1", "40"), make_item("i2", "-40"))
    assert isinstance(decide(event, make_cap("100", "150"), JOB), Released)


def test_a_budget_that_was_removed_caps_nothing() -> None:
    cap = make_cap("10000", "9700", replace(make_budget("b1", "100"), removed=True))
    assert isinstance(decide(make_event(make_item("i1", "100")), cap), Released)


def test_auto_cap_billing_alone_enforces_nothing() -> None:
    cap = make_cap("10000", "9700", enforced=False, auto_cap_billing=True)
    assert isinstance(decide(make_event(make_item("i1", "400")), cap, JOB), Released)


def test_a_released_event_writes_an_entry_for_the_project_and_each_budget_though_uncapped() -> None:
    cap = make_cap("0", "0", make_budget("b1", "10", "5", capped=False), enforced=False)
    outcome = decide(make_event(make_item("i1", "100", "b1"), make_item("i2", "20")), cap)
    assert isinstance(outcome, Released)
    assert [(entry.budget_id, entry.amount, entry.released_after) for entry in outcome.ledger_entries] == [
        (None, Decimal(120), Decimal(120)),
        ("b1", Decimal(100), Decimal(105)),
    ]


def split_with_overage() -> tuple[BillingEvent, Split]:
    """Items of 150 and 30 on a budget with 100 left: the first partly fits, the second moves."""
    cap = make_cap("0", "0", make_budget("b1", "100"), enforced=False)
    event = make_event(
        make_item("i1", "150", "b1", fields={"order": "4711"}),
        make_item("i2", "30", "b1"),
        customer_reference="PO 4711",
        auto_pass_to_accounting=True,
        fields={"any": "thing"},
        filled={"account_id": "project"},
    )
    return event, split(decide(event, cap))


def test_the_new_event_keeps_what_belongs_to_its_origin_and_is_linked_to_it() -> None:
    event, outcome = split_with_overage()
    new_event = outcome.new_event
    assert new_event == replace(
        event,
        billing_event_id="BE-1.2",
        version=1,
        items=new_event.items,
        origin_id="BE-1",
        root_id="BE-1",
        made_by_cap=True,
    )
    assert new_event.stage is Stage.AWAITING_RELEASE
    assert outcome.event.stage is Stage.RELEASED
    assert (outcome.event.version, outcome.event.made_by_cap, outcome.event.origin_id) == (1, False, None)


def test_adjustments_are_items_like_the_one_they_adjust() -> None:
    event, outcome = split_with_overage()
    adjusted = event.items[0]
    taken_out = outcome.event.items[-1]
    carried_on = outcome.new_event.items[-1]
    assert [half.item_id for half in outcome.adjustments] == ["BE-1.adj1", "BE-1.2.adj1"]
    assert (taken_out.item_id, taken_out.amount, taken_out.unit_price) == (
        "BE-1.adj1",
        Decimal(-50),
        Decimal(-50),
    )
    assert (carried_on.item_id, carried_on.amount, carried_on.unit_price) == (
        "BE-1.2.adj1",
        Decimal(50),
        Decimal(50),
    )
    for adjustment in (taken_out, carried_on):
        assert adjustment.category == "miscellaneous_adjustment"
        assert adjustment.quantity == 1
        assert adjustment.adjusts_item_id == "i1"
        kept = ("budget_id", "services_product", "business_record_id", "created_at", "fields")
        assert [getattr(adjustment, name) for name in kept] == [getattr(adjusted, name) for name in kept]


def test_an_adjustment_bills_no_record() -> None:
    _, outcome = split_with_overage()
    assert billed_records(outcome.event.items) == (RecordKey("timecard", "T-i1"),)
    assert billed_records(outcome.new_event.items) == (RecordKey("timecard", "T-i2"),)


def test_ids_are_given_over_the_whole_lineage() -> None:
    _, first = split_with_overage()
    cap = make_cap("0", "0", make_budget("b1", "20"), enforced=False)
    second = split(decide(first.new_event, cap, taken_ids={"BE-1.2"}))
    assert (second.new_event.billing_event_id, second.new_event.origin_id, second.new_event.root_id) == (
        "BE-1.3",
        "BE-1.2",
        "BE-1",
    )
    assert [half.item_id for half in second.adjustments] == ["BE-1.2.adj2", "BE-1.3.adj1"]


def test_a_preview_names_the_id_that_is_free_now_and_does_nothing() -> None:
    cap = make_cap("300", "0")
    event = make_event(make_item("i1", "200"), make_item("i2", "200"))
    outcome = refused(decide(event, cap, ASKED, taken_ids={"BE-1.2"}))
    assert codes_of(outcome.reasons) == ("split_required",)
    assert outcome.preview is not None
    assert outcome.preview.new_event.billing_event_id == "BE-1.3"
    assert cap == make_cap("300", "0")


@pytest.mark.parametrize(("released", "items"), [("9700", ("400", "500")), ("0", ("10000.01",))])
def test_refusals_by_the_cap_carry_the_numbers(released: str, items: tuple[str, ...]) -> None:
    cap: ProjectCap = make_cap("10000", released)
    event = make_event(*(make_item(f"i{number}", amount) for number, amount in enumerate(items)))
    reason = refused(decide(event, cap, JOB)).reasons[0]
    assert reason.detail == {
        "level": "project",
        "currency": "GBP",
        "summary_amount": f"{event.summary_amount:.2f}",
        "bookings": "10000.00",
        "released": f"{cap.released_in('GBP'):.2f}",
        "remaining": f"{cap.remaining:.2f}",
    }
    assert f"{cap.remaining:.2f} GBP" in reason.message


def test_a_large_quick_event_over_its_budget_splits_unasked_where_the_project_bills_to_the_cap() -> None:
    cap = make_cap("0", "0", make_budget("b1", "100"), enforced=False, bill_to_budget_cap=True)
    event = make_event(make_item("i1", "60", "b1"), make_item("i2", "70", "b1"))
    outcome = split(decide(event, cap, ASKED, replace(SETTINGS, release_batch_size=1)))
    assert [half.amount for half in outcome.adjustments] == [-30, 30]
