"""Filling what is empty by hand (domain.md section 1)."""

from dataclasses import replace

import pytest

from release.domain.events import BillingEvent
from release.domain.fills import Fill, fill_by_hand
from release.domain.psa_changes import Accepted, ChangeRefused
from release.domain.stages import Stage
from unit.release.builders import make_event, make_item

EMPTY = make_event(
    make_item("i1", "100", services_product=None),
    make_item("i2", "50"),
    account_id=None,
    filled={"company_id": "project"},
)


def accepted(change: Accepted | ChangeRefused) -> BillingEvent:
    assert isinstance(change, Accepted)
    return change.event


def refused_for(change: Accepted | ChangeRefused) -> tuple[str, object]:
    assert isinstance(change, ChangeRefused)
    return change.reason.code, change.reason.detail.get("fields")


@pytest.mark.parametrize("stage", [Stage.INCOMPLETE, Stage.AWAITING_RELEASE, Stage.QUEUED, Stage.RELEASED])
def test_what_is_empty_is_filled_and_says_by_whom(stage: Stage) -> None:
    fill = Fill(account_id="A-2", auto_pass_to_accounting=True, services_products={"i1": "Filled"})
    after = accepted(fill_by_hand(replace(EMPTY, stage=stage), fill))
    assert (after.account_id, after.auto_pass_to_accounting, after.stage) == ("A-2", True, stage)
    assert after.filled == {"company_id": "project", "account_id": "user", "auto_pass_to_accounting": "user"}
    assert [(item.services_product, item.services_product_from) for item in after.items] == [
        ("Filled", "user"),
        ("Consulting", None),
    ]


def test_a_background_process_fills_in_its_own_name() -> None:
    after = accepted(fill_by_hand(EMPTY, Fill(auto_pass_to_accounting=True), "process"))
    assert after.filled["auto_pass_to_accounting"] == "process"


def test_what_is_there_already_changes_nothing() -> None:
    same = Fill(company_id="C-UK", auto_pass_to_accounting=False, services_products={"i2": "Consulting"})
    assert accepted(fill_by_hand(EMPTY, same)) == EMPTY


@pytest.mark.parametrize(
    ("stage", "code"), [(Stage.AWAITING_RELEASE, "not_empty"), (Stage.RELEASED, "already_released")]
)
def test_what_is_not_empty_is_refused_and_nothing_is_filled(stage: Stage, code: str) -> None:
    event = replace(EMPTY, stage=stage)
    assert refused_for(fill_by_hand(event, Fill(account_id="A-2", company_id="C-FR"))) == (
        code,
        ["company_id"],
    )
    products = Fill(services_products={"i1": "Filled", "i2": "Other"})
    assert refused_for(fill_by_hand(event, products)) == (code, ["items.services_product"])


def test_the_flag_is_taken_back_only_before_release() -> None:
    flagged = replace(EMPTY, auto_pass_to_accounting=True)
    take_back = Fill(auto_pass_to_accounting=False)
    assert not accepted(fill_by_hand(flagged, take_back)).auto_pass_to_accounting
    released = replace(flagged, stage=Stage.RELEASED)
    assert refused_for(fill_by_hand(released, take_back)) == ("already_released", ["auto_pass_to_accounting"])


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        (Stage.INVOICED, "already_released"),
        (Stage.CLOSED, "closed"),
        (Stage.REVERTING, "reverting"),
        (Stage.REVERTED, "reverted"),
        (Stage.DELETED, "deleted"),
    ],
)
def test_an_event_that_is_over_is_not_filled(stage: Stage, code: str) -> None:
    assert refused_for(fill_by_hand(replace(EMPTY, stage=stage), Fill(account_id="A-2")))[0] == code


def test_an_item_that_the_event_does_not_have_is_refused() -> None:
    change = fill_by_hand(EMPTY, Fill(account_id="A-2", services_products={"i9": "Filled"}))
    assert refused_for(change)[0] == "item_not_found"


@pytest.mark.parametrize("stage", [Stage.AWAITING_RELEASE, Stage.RELEASED])
def test_of_the_custom_fields_the_companys_own_auto_pass_field_is_filled(stage: Stage) -> None:
    event = replace(EMPTY, stage=stage, fields={"region": "North"})
    after = accepted(fill_by_hand(event, Fill(fields={"pass_on": True}), "user", "pass_on"))
    assert (after.fields, after.filled["fields"]) == ({"region": "North", "pass_on": True}, "user")
    code = "already_released" if stage is Stage.RELEASED else "not_empty"
    for fields, named in (({"pass_on": True}, None), ({"region": "South"}, "pass_on"), ({"x": 1}, "pass_on")):
        assert refused_for(fill_by_hand(event, Fill(fields=fields), "user", named)) == (
            code,
            [f"fields.{next(iter(fields))}"],
        )
    same = fill_by_hand(event, Fill(fields={"region": "North"}), "user", "pass_on")
    assert accepted(same) == event


def test_the_auto_pass_field_is_not_taken_back_after_release() -> None:
    event = replace(EMPTY, stage=Stage.RELEASED, fields={"pass_on": True})
    assert refused_for(fill_by_hand(event, Fill(fields={"pass_on": False}), "user", "pass_on")) == (
        "already_released",
        ["fields.pass_on"],
    )
