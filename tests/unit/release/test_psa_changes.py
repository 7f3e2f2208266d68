"""What PSA may still change or delete, by the stage of the event (domain.md section 1)."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from release.domain.events import BillingEvent, BillingEventItem
from release.domain.psa_changes import (
    Accepted,
    ChangeRefused,
    Deleted,
    DeletedBefore,
    IdTaken,
    Ignored,
    StoredState,
    take_deleted,
    take_generated,
)
from release.domain.release import Split
from release.domain.stages import Stage
from unit.release.builders import decide, make_budget, make_cap, make_event, make_item

EVENT = make_event(make_item("i1", "100"), make_item("i2", "50"))


def stored(event: BillingEvent, stage: Stage, **given: Any) -> StoredState:
    return StoredState(stage, event.version, replace(event, stage=stage), **given)


def sent(event: BillingEvent, **changes: Any) -> BillingEvent:
    return replace(event, **{"version": event.version + 1, **changes})


def accepted(change: Accepted | DeletedBefore | Ignored | ChangeRefused | IdTaken) -> BillingEvent:
    assert isinstance(change, Accepted)
    return change.event


def refused_for(
    change: Accepted | DeletedBefore | Ignored | Deleted | ChangeRefused | IdTaken,
) -> tuple[str, object]:
    assert isinstance(change, ChangeRefused)
    return change.reason.code, change.reason.detail.get("fields")


def test_an_unknown_event_is_taken() -> None:
    assert accepted(take_generated(None, EVENT)) == EVENT


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("version", [0, 1])
def test_an_older_or_equal_version_is_ignored(stage: Stage, version: int) -> None:
    assert take_generated(stored(EVENT, stage), replace(EVENT, version=version, on_hold=True)) == Ignored()
    assert take_deleted(stored(EVENT, stage), "BE-1", version) == Ignored()


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("version", [1, 2, 99])
def test_the_id_of_an_event_that_a_split_made_is_never_psas(stage: Stage, version: int) -> None:
    made = replace(EVENT, origin_id="BE-0", root_id="BE-0")
    for verdict in (
        take_generated(stored(made, stage), replace(EVENT, version=version)),
        take_deleted(stored(made, stage), "BE-1", version),
    ):
        assert isinstance(verdict, IdTaken)
        assert verdict.reason.code == "id_taken_by_split"


@pytest.mark.parametrize("stage", [Stage.INCOMPLETE, Stage.AWAITING_RELEASE, Stage.QUEUED])
def test_an_unreleased_event_is_replaced_and_keeps_what_is_not_psas_to_say(stage: Stage) -> None:
    before = replace(
        EVENT,
        on_hold=True,
        queued_by="J-1",
        company_id="C-by-hand",
        auto_pass_to_accounting=True,
        account_id="A-found",
        filled={"company_id": "user", "auto_pass_to_accounting": "process", "account_id": "project"},
        items=(
            make_item("i1", "100", services_product="By hand", services_product_from="user"),
            make_item("i2", "50", services_product="Found", services_product_from="timecard"),
        ),
    )
    new_items = tuple(make_item(item_id, "70", services_product=None) for item_id in ("i1", "i2", "i3"))
    after = accepted(
        take_generated(
            stored(before, stage),
            sent(EVENT, items=new_items, currency="EUR", account_id=None, company_id=None),
        )
    )
    assert (after.version, after.currency, after.stage) == (2, "EUR", stage)
    assert (after.on_hold, after.queued_by) == (True, "J-1")
    assert (after.account_id, after.company_id, after.auto_pass_to_accounting) == (None, "C-by-hand", True)
    assert after.filled == {"company_id": "user", "auto_pass_to_accounting": "process"}
    assert [(item.amount, item.services_product, item.services_product_from) for item in after.items] == [
        (Decimal(70), "By hand", "user"),
        (Decimal(70), None, None),
        (Decimal(70), None, None),
    ]


def test_what_psa_sends_itself_takes_the_place_of_what_was_filled_by_hand() -> None:
    before = replace(EVENT, company_id="C-by-hand", filled={"company_id": "user"})
    after = accepted(take_generated(stored(before, Stage.AWAITING_RELEASE), sent(EVENT, company_id="C-PSA")))
    assert (after.company_id, after.filled) == ("C-PSA", {})


@pytest.mark.parametrize("stage", [Stage.DELETED, Stage.REVERTED])
def test_a_reverted_or_deleted_id_sent_anew_is_refused(stage: Stage) -> None:
    assert refused_for(take_generated(stored(EVENT, stage), sent(EVENT))) == (stage.value, None)


def test_a_delete_before_its_event_is_kept() -> None:
    assert take_deleted(None, "BE-1", 2) == Deleted("BE-1", 2)
    tombstone = StoredState(Stage.DELETED, 2, None)
    assert take_generated(tombstone, EVENT) == DeletedBefore(EVENT, 2)
    at_once = replace(EVENT, version=2)
    assert take_generated(tombstone, at_once) == DeletedBefore(at_once, 2)
    assert refused_for(take_generated(tombstone, replace(EVENT, version=3))) == ("deleted", None)


@pytest.mark.parametrize("stage", [Stage.INCOMPLETE, Stage.AWAITING_RELEASE, Stage.QUEUED])
def test_an_unreleased_event_is_deleted(stage: Stage) -> None:
    assert take_deleted(stored(EVENT, stage), "BE-1", 2) == Deleted("BE-1", 2)


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        (Stage.RELEASED, "already_released"),
        (Stage.INVOICED, "already_released"),
        (Stage.CLOSED, "already_released"),
        (Stage.REVERTING, "already_released"),
        (Stage.REVERTED, "reverted"),
    ],
)
def test_a_released_or_reverted_event_is_not_deleted(stage: Stage, code: str) -> None:
    assert refused_for(take_deleted(stored(EVENT, stage), "BE-1", 2))[0] == code


def test_deleting_again_changes_nothing() -> None:
    assert take_deleted(stored(EVENT, Stage.DELETED), "BE-1", 5) == Ignored()


EMPTY = replace(
    EVENT,
    account_id=None,
    company_id=None,
    billing_event_currency=None,
    items=(make_item("i1", "100", services_product=None), make_item("i2", "50")),
)


def test_on_a_released_event_psa_fills_what_is_empty() -> None:
    after = accepted(take_generated(stored(EMPTY, Stage.RELEASED), sent(EVENT, auto_pass_to_accounting=True)))
    assert after == replace(EVENT, version=2, stage=Stage.RELEASED, auto_pass_to_accounting=True)


@pytest.mark.parametrize("stage", [Stage.INVOICED, Stage.CLOSED, Stage.REVERTING])
def test_after_that_nothing_is_filled_any_more(stage: Stage) -> None:
    code, fields = refused_for(take_generated(stored(EMPTY, stage), sent(EVENT)))
    assert code == "already_released"
    assert fields == ["account_id", "billing_event_currency", "company_id", "items.services_product"]
    assert accepted(take_generated(stored(EVENT, stage), sent(EVENT))).version == 2


def test_on_an_invoiced_event_neither_a_product_nor_the_flag_is_filled() -> None:
    product_sent = take_generated(stored(replace(EVENT, items=EMPTY.items), Stage.INVOICED), sent(EVENT))
    assert refused_for(product_sent) == ("already_released", ["items.services_product"])
    flag_sent = take_generated(stored(EVENT, Stage.INVOICED), sent(EVENT, auto_pass_to_accounting=True))
    assert refused_for(flag_sent) == ("already_released", ["auto_pass_to_accounting"])


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"account_id": "A-2"}, ["account_id"]),
        ({"account_id": None}, ["account_id"]),
        ({"currency": "EUR", "batch_id": "BB-2"}, ["batch_id", "currency"]),
        ({"customer_reference": "PO 1"}, ["customer_reference"]),
        ({"items": EVENT.items[:1]}, ["items"]),
        ({"items": (*EVENT.items, make_item("i3", "1"))}, ["items"]),
        ({"items": (replace(EVENT.items[0], amount=Decimal(101)), EVENT.items[1])}, ["items.amount"]),
        (
            {"items": (replace(EVENT.items[0], services_product="X"), EVENT.items[1])},
            ["items.services_product"],
        ),
        (
            {"items": (replace(EVENT.items[0], services_product=None), EVENT.items[1])},
            ["items.services_product"],
        ),
    ],
)
def test_any_other_change_of_a_released_event_is_refused(changes: dict[str, Any], fields: list[str]) -> None:
    change = take_generated(stored(EVENT, Stage.RELEASED), sent(EVENT, **changes))
    assert refused_for(change) == ("already_released", fields)


def test_the_auto_pass_flag_is_set_but_not_taken_back() -> None:
    flagged = replace(EVENT, auto_pass_to_accounting=True)
    assert accepted(take_generated(stored(EVENT, Stage.RELEASED), sent(flagged))).auto_pass_to_accounting
    assert refused_for(take_generated(stored(flagged, Stage.RELEASED), sent(EVENT))) == (
        "already_released",
        ["auto_pass_to_accounting"],
    )


def test_psa_leaving_empty_what_others_filled_changes_nothing() -> None:
    filled = replace(
        EVENT,
        auto_pass_to_accounting=True,
        filled={"account_id": "project", "company_id": "user", "auto_pass_to_accounting": "user"},
        items=(replace(EVENT.items[0], services_product_from="assignment"), EVENT.items[1]),
    )
    without = sent(
        EVENT,
        account_id=None,
        company_id=None,
        items=(replace(EVENT.items[0], services_product=None), EVENT.items[1]),
    )
    after = accepted(take_generated(stored(filled, Stage.RELEASED), without))
    assert after == replace(filled, version=2, stage=Stage.RELEASED)


def moved_by(split: Split) -> dict[str, BillingEventItem]:
    return {item.item_id: item for item in split.new_event.items if item.adjusts_item_id is None}


def test_after_a_split_a_change_of_an_item_that_moved_is_refused_too() -> None:
    event = make_event(make_item("i1", "150"), make_item("i2", "30"))
    outcome = decide(event, make_cap("160", "0"))
    assert isinstance(outcome, Split)
    assert outcome.moved_item_ids == ("i2",)
    state = stored(outcome.event, Stage.RELEASED, moved_items=moved_by(outcome))
    other = replace(event.items[1], amount=Decimal(31))
    change = take_generated(state, sent(event, items=(event.items[0], other)))
    assert refused_for(change) == ("already_released", ["items.amount"])


def test_after_a_split_psas_whole_event_still_fills_what_stayed() -> None:
    cap = make_cap("0", "0", make_budget("b1", "100"), enforced=False)
    event = make_event(make_item("i1", "150", "b1"), make_item("i2", "30", "b1"))
    outcome = decide(event, cap)
    assert isinstance(outcome, Split)
    state = stored(outcome.event, Stage.RELEASED, moved_items=moved_by(outcome))
    after = accepted(take_generated(state, sent(event, auto_pass_to_accounting=True)))
    assert after.items == outcome.event.items
    assert after.auto_pass_to_accounting


OWN = {"region": "North"}
RELEASED_FIELDS = replace(EVENT, fields=OWN)


def take_own(
    before: dict[str, object], after: dict[str, object], stage: Stage = Stage.RELEASED, **changes: Any
) -> Any:
    event = replace(EVENT, fields=OWN | before, **changes)
    return take_generated(stored(event, stage, auto_pass_field="pass_on"), sent(event, fields=OWN | after))


@pytest.mark.parametrize("before", [{}, {"pass_on": False}, {"pass_on": None}, {"pass_on": ""}])
def test_psa_sets_the_companys_own_auto_pass_field_after_release(before: dict[str, object]) -> None:
    assert accepted(take_own(before, {"pass_on": True})).fields == OWN | {"pass_on": True}
    assert refused_for(take_own(before, {"pass_on": True}, Stage.INVOICED)) == (
        "already_released",
        ["fields"],
    )


def test_psa_neither_takes_the_auto_pass_field_back_nor_changes_another_one_after_release() -> None:
    afters: list[dict[str, object]] = [{}, {"pass_on": False}, {"pass_on": None}]
    for after in afters:
        assert refused_for(take_own({"pass_on": True}, after)) == ("already_released", ["fields"])
        kept = accepted(take_own({"pass_on": True}, after, filled={"fields": "user"}))
        assert kept.fields == OWN | {"pass_on": True}
    assert refused_for(take_own({}, {"pass_on": True, "region": "South"})) == ("already_released", ["fields"])
    other = stored(RELEASED_FIELDS, Stage.RELEASED)
    change = take_generated(other, sent(RELEASED_FIELDS, fields=OWN | {"pass_on": True}))
    assert refused_for(change) == ("already_released", ["fields"])


def test_an_auto_pass_field_filled_by_hand_outlives_psas_next_version() -> None:
    stage = Stage.AWAITING_RELEASE
    after = accepted(take_own({"pass_on": True}, {"region": "South"}, stage, filled={"fields": "process"}))
    assert (after.fields, after.filled) == ({"region": "South", "pass_on": True}, {"fields": "process"})
