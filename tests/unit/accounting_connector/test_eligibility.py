"""Eligibility beyond the vectors: criteria, stages, auto-pass (domain.md section 4)."""

from typing import Any

import pytest

from accounting_connector.domain.billing_events import Stage, event_fields, item_fields
from accounting_connector.domain.eligibility import Terms, check_eligibility, wants_auto_pass
from accounting_connector.store.event_bodies import billing_event_of
from accounting_connector.store.parties import DEFAULT_SETTINGS, company_settings_of
from shared.contracts import billing_event as told

NOT_RELEASED = {
    Stage.INCOMPLETE,
    Stage.AWAITING_RELEASE,
    Stage.QUEUED,
    Stage.REVERTING,
    Stage.REVERTED,
    Stage.DELETED,
}
ALONE = {Stage.RELEASED: [], Stage.INVOICED: ["already_invoiced"], Stage.CLOSED: ["closed"]}


def test_a_token_of_other_projects_makes_no_document(make: Any) -> None:
    candidate = make.candidate(make.event(project_id="P-2"))
    assert codes(candidate, Terms(permitted_projects=frozenset({"P-1"}))) == ["not_permitted"]
    assert codes(candidate, Terms(permitted_projects=frozenset())) == ["not_permitted"]
    assert codes(candidate, Terms(permitted_projects=frozenset({"P-2"}))) == []


def codes(candidate: Any, terms: Terms | None = None) -> list[str]:
    return [reason.code for reason in check_eligibility(candidate, terms or Terms()).reasons]


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_has_its_verdict(make: Any, stage: Stage) -> None:
    candidate = make.candidate(make.event(stage=stage))
    assert codes(candidate) == (["not_released"] if stage in NOT_RELEASED else ALONE[stage])
    assert codes(candidate, Terms(waive_released=True)) == ALONE.get(stage, [])


def test_account_company_and_currency_must_be_set_and_known(make: Any) -> None:
    event = make.event(account_id=None, company_id=None, billing_event_currency=None)
    assert codes(make.candidate(event, account=None, company=None)) == [
        "account_missing",
        "company_missing",
        "currency_missing",
    ]
    unknown = check_eligibility(make.candidate(account=None), Terms()).reasons
    assert unknown[0].detail == {"account_id": "A-1"}


def test_an_event_criterion_sees_fields_custom_fields_and_items(make: Any) -> None:
    event = make.event(fields={"region": "North", "approved": True})
    for expression, met in (
        ('fields.region == "North" and region == "North" and approved', True),
        ("summary_amount > 100", False),
        ("summary_amount == 100.00 and len(items) == 1", True),
        ('any(item.category == "timecard" for item in items)', True),
        ("fields.absent == true", False),
    ):
        candidate = make.candidate(event, company=make.company(event_criteria=(make.criterion(expression),)))
        assert codes(candidate) == ([] if met else ["criteria_not_met"]), expression


def test_criteria_see_every_field_that_release_tells_of_events_and_items(make: Any) -> None:
    event = make.event()
    assert set(told.BillingEvent.model_fields) <= set(event_fields(event))
    assert set(told.BillingEventItem.model_fields) <= set(item_fields(event.items[0]))


def test_criteria_see_what_release_tells_beside_what_documents_are_made_of(make: Any) -> None:
    body = {
        "billing_event_id": "BE-1.2",
        "version": 3,
        "currency": "GBP",
        "origin_id": "BE-1",
        "made_by_cap": True,
        "items": [
            {
                "item_id": "BE-1.2.adj1",
                "category": "miscellaneous_adjustment",
                "quantity": "1",
                "unit_price": "5.00",
                "amount": "5.00",
                "services_product": "Consulting",
                "adjusts_item_id": "i1",
            }
        ],
    }
    event = billing_event_of(body, Stage.RELEASED)
    for expression, holds in (
        ('made_by_cap and origin_id == "BE-1" and version == 3', True),
        ("not made_by_cap", False),
        ("all(item.adjusts_item_id != null and item.amount == 5 for item in items)", True),
    ):
        assert make.criterion(expression).holds(event_fields(event)) is holds, expression
    assert make.criterion("adjusts_item_id == null").holds(item_fields(event.items[0])) is False


def test_all_failing_event_criteria_are_named_and_what_cannot_be_decided_refuses(make: Any) -> None:
    criteria = tuple(
        make.criterion(text) for text in ("summary_amount > 500", "colour == 1", 'currency == "GBP"')
    )
    (reason,) = check_eligibility(
        make.candidate(company=make.company(event_criteria=criteria)), Terms()
    ).reasons
    assert reason.code == "criteria_not_met"
    assert reason.detail["criteria"] == ["summary_amount > 500"]
    assert "no field 'colour'" in reason.message


def test_a_kept_criterion_that_cannot_be_read_any_more_refuses_its_events(make: Any) -> None:
    kept = company_settings_of(
        {**DEFAULT_SETTINGS, "event_criteria": ["lambda: 1"], "item_criteria": ["1 +"]}
    )
    candidate = make.candidate(company=make.company(event_criteria=kept.event_criteria))
    assert codes(candidate) == ["criteria_not_met"]
    assert codes(make.candidate(company=make.company(item_criteria=kept.item_criteria))) == [
        "criteria_not_met"
    ]


def test_an_item_that_cannot_be_decided_is_never_left_out_in_silence(make: Any) -> None:
    event = make.event(make.item("i1", fields={"grade": 3}), make.item("i2", fields={"grade": "high"}))
    company = make.company(item_criteria=(make.criterion("grade > 2"),))
    eligibility = check_eligibility(make.candidate(event, company=company), Terms())
    assert [reason.code for reason in eligibility.reasons] == ["criteria_not_met"]
    assert eligibility.reasons[0].detail["items"] == ["i2"]
    assert [item.item_id for item in eligibility.eligible_items] == ["i1"]
    assert eligibility.left_out_items == ()


def test_an_item_must_meet_all_item_criteria(make: Any) -> None:
    event = make.event(
        make.item("i1", "10.00"), make.item("i2", "30.00"), make.item("i3", "20.00", category="expense")
    )
    criteria = (make.criterion("amount > 15"), make.criterion('category != "expense"'))
    eligibility = check_eligibility(
        make.candidate(event, company=make.company(item_criteria=criteria)), Terms()
    )
    assert [item.item_id for item in eligibility.eligible_items] == ["i2"]
    assert [(each.item_id, each.criterion) for each in eligibility.left_out_items] == [
        ("i1", "amount > 15"),
        ("i3", 'category != "expense"'),
    ]
    assert eligibility.reasons == ()


def test_without_an_eligible_item_there_is_nothing_to_invoice(make: Any) -> None:
    company = make.company(item_criteria=(make.criterion("false"),))
    assert codes(make.candidate(company=company)) == ["no_eligible_item"]
    assert codes(make.candidate(make.event(items=()))) == ["no_eligible_item", "zero_amount"]


@pytest.mark.parametrize(
    "flag, fields, named, wanted",
    [
        (True, {}, None, True),
        (False, {}, None, False),
        (False, {"pass_on": True}, None, False),
        (True, {}, "pass_on", False),
        (True, {"pass_on": False}, "pass_on", False),
        (False, {"pass_on": True}, "pass_on", True),
        (False, {"pass_on": True}, "fields.pass_on", True),
        (False, {"pass_on": "TRUE"}, "pass_on", True),
        (False, {"pass_on": "no"}, "pass_on", False),
        (False, {"pass_on": 1}, "pass_on", False),
        (False, {}, "pass_on", False),
    ],
)
def test_auto_pass_by_flag_or_by_the_companys_field(
    make: Any, flag: bool, fields: dict[str, object], named: str | None, wanted: bool
) -> None:
    event = make.event(auto_pass_to_accounting=flag, fields=fields)
    assert wants_auto_pass(event, named) is wanted
