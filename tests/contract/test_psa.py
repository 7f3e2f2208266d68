"""What PSA sends: how much may be absent, and what is refused all the same."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from contract.samples import Body, sample
from shared.contracts.command_fields import Threshold
from shared.contracts.psa import (
    AccountUpserted,
    BillingEventDeleted,
    BillingEventGenerated,
    BusinessRecordUpserted,
    CompanyUpserted,
    ExchangeRateUpserted,
    ProjectUpserted,
)
from shared.money import ZERO

ITEM: Body = {
    "item_id": "I-1",
    "created_at": "2026-11-20T09:00:00Z",
    "category": "expense",
    "business_record_id": "E-1",
    "quantity": 2,
    "unit_price": "0.333333",
    "amount": "0.67",
}
LEAST: list[tuple[type[BaseModel], Body]] = [
    (ProjectUpserted, {"project_id": "P-1", "version": 1, "currency": "GBP"}),
    (AccountUpserted, {"account_id": "A-1", "version": 1}),
    (CompanyUpserted, {"company_id": "C-1", "version": 1}),
    (BusinessRecordUpserted, {"record_id": "T-1", "version": 1, "kind": "timecard"}),
    (ExchangeRateUpserted, {"from": "GBP", "to": "EUR", "rate": "1.17", "version": 1}),
    (
        BillingEventGenerated,
        {
            "billing_event_id": "BE-1",
            "version": 1,
            "project_id": "P-1",
            "date": "2026-11-20",
            "currency": "GBP",
            "items": [ITEM],
        },
    ),
    (BillingEventDeleted, {"billing_event_id": "BE-1", "version": 2}),
]


def _wrong_fields(model: type[BaseModel], body: Body) -> list[tuple[int | str, ...]]:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    return [error["loc"] for error in refused.value.errors()]


def _event(**changes: Any) -> Body:
    return {**sample("psa.billing-event.generated.v1"), **changes}


@pytest.mark.parametrize(("model", "body"), LEAST, ids=lambda value: getattr(value, "__name__", ""))
def test_the_least_is_enough_and_empty_means_not_given(model: type[BaseModel], body: Body) -> None:
    least = model.model_validate(body)
    assert least.model_dump(by_alias=True, exclude_unset=True).keys() == body.keys()
    optional = [info.alias or name for name, info in model.model_fields.items() if not info.is_required()]
    for empty in (None, ""):
        assert model.model_validate({**dict.fromkeys(optional, empty), **body}) == least
    for name in body:
        assert (name,) in _wrong_fields(model, {**body, name: None})
        assert (name,) in _wrong_fields(model, {**body, name: ""})


def test_what_is_not_given_has_its_natural_default() -> None:
    event = BillingEventGenerated.model_validate(LEAST[5][1])
    (item,) = event.items
    assert (event.account_id, event.auto_pass_to_accounting, event.fields) == (None, False, {})
    assert (item.description, item.services_product, item.budget_id, item.fields) == ("", None, None, {})
    project = ProjectUpserted.model_validate(LEAST[0][1])
    assert (project.bookings, project.budgets) == (None, [])
    assert not any(
        (project.apply_billing_cap, project.auto_cap_billing, project.bill_to_budget_cap, project.on_hold)
    )
    with_budget = ProjectUpserted.model_validate({**LEAST[0][1], "budgets": [{"budget_id": "B-1"}]})
    assert (with_budget.budgets[0].amount, with_budget.budgets[0].apply_billing_cap) == (ZERO, False)


@pytest.mark.parametrize(
    ("currency", "amount", "taken"),
    [
        ("GBP", "1.25", "1.25"),
        ("GBP", "5.100", "5.10"),
        ("GBP", "1.255", None),
        ("JPY", "100", "100"),
        ("JPY", "100.00", "100"),
        ("JPY", "100.50", None),
        ("JPY", "0.5", None),
        ("JPY", "0.00000000", "0"),
        ("KWD", "1.255", "1.255"),
        ("KWD", "1.0000", "1.000"),
        ("KWD", "1.2555", None),
    ],
)
def test_an_amount_has_its_currencys_decimals_and_surplus_zeros_are_dropped(
    currency: str, amount: str, taken: str | None
) -> None:
    event = _event(currency=currency, items=[{**ITEM, "amount": amount}])
    project: Body = {"project_id": "P-1", "version": 1, "currency": currency}
    bookings, budgets = {**project, "bookings": amount}, [{"budget_id": "B-1", "amount": amount}]
    tolerance = {"account_id": "A-1", "version": 1, "cap_tolerance": {"amount": amount, "currency": currency}}
    threshold = {"amount": amount, "currency": currency}
    if taken is not None:
        assert str(BillingEventGenerated.model_validate(event).items[0].amount) == taken
        assert str(ProjectUpserted.model_validate(bookings).bookings) == taken
        assert str(ProjectUpserted.model_validate({**project, "budgets": budgets}).budgets[0].amount) == taken
        account = AccountUpserted.model_validate(tolerance)
        assert account.cap_tolerance is not None
        assert str(account.cap_tolerance.amount) == taken
        assert str(Threshold.model_validate(threshold).amount) == taken
    else:
        assert _wrong_fields(BillingEventGenerated, event) == [("items", 0, "amount")]
        assert _wrong_fields(ProjectUpserted, bookings) == [("bookings",)]
        assert _wrong_fields(ProjectUpserted, {**project, "budgets": budgets}) == [("budgets", 0, "amount")]
        assert _wrong_fields(AccountUpserted, tolerance) == [("cap_tolerance", "amount")]
        assert _wrong_fields(Threshold, threshold) == [("amount",)]


@pytest.mark.parametrize(
    ("currency", "date", "is_taken"),
    [
        ("BGN", "2025-12-31", True),
        ("BGN", "2026-01-01", False),
        ("HRK", "2022-12-31", True),
        ("HRK", "2023-01-01", False),
        ("DEM", "2026-11-20", False),
        ("EUR", "2026-11-20", True),
    ],
)
def test_a_currency_that_had_ended_on_the_events_date_is_refused(
    currency: str, date: str, is_taken: bool
) -> None:
    for fields in ({"currency": currency}, {"billing_event_currency": currency}):
        event = _event(date=date, **fields)
        if is_taken:
            BillingEventGenerated.model_validate(event)
        else:
            assert _wrong_fields(BillingEventGenerated, event) == [tuple(fields)]
    # What is corrected may be older, and says so by its own date.
    BillingEventGenerated.model_validate(
        _event(date=date, currency=currency, corrects_billing_event_id="BE-0")
    )


def test_a_version_is_bounded() -> None:
    assert BillingEventGenerated.model_validate(_event(version=4_102_444_800_000_000))
    assert _wrong_fields(BillingEventGenerated, _event(version=4_102_444_800_000_001)) == [("version",)]


def test_a_message_without_a_date_may_name_any_currency_of_the_table() -> None:
    assert ProjectUpserted.model_validate({**LEAST[0][1], "currency": "BGN"}).currency == "BGN"
    assert Threshold.model_validate({"amount": "1", "currency": "HRK"}).currency == "HRK"


def test_ids_within_a_message_are_unique() -> None:
    assert _wrong_fields(BillingEventGenerated, _event(items=[ITEM, ITEM])) == [("items",)]
    budgets = [{"budget_id": "B-1"}, {"budget_id": "B-1"}]
    assert _wrong_fields(ProjectUpserted, {**LEAST[0][1], "budgets": budgets}) == [("budgets",)]


def test_an_event_has_items() -> None:
    assert _wrong_fields(BillingEventGenerated, _event(items=[])) == [("items",)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("category", "assignment"),
        ("category", "Timecard"),
        ("quantity", 1.5),
        ("unit_price", "0.1234567"),
        ("amount", "1e2"),
        ("created_at", "2026-11-20T09:00:00"),
        ("date", "2026-11-20T00:00:00Z"),
        ("business_record_id", "T 1"),
        ("business_record_version", 0),
        ("services_product", "x" * 501),
        ("description", "x" * 10_001),
        ("description", "a\x00"),
        ("fields", {"a": {"b\x00": 1}}),
        ("fields", ["a"]),
        ("item_id", 7),
    ],
)
def test_a_broken_item_is_refused_by_field(field: str, value: object) -> None:
    event = _event(items=[ITEM, {**ITEM, "item_id": "I-2", field: value}])
    assert _wrong_fields(BillingEventGenerated, event) == [("items", 1, field)]


@pytest.mark.parametrize("rate", ["0", "-1", 1.17, "1e-2", "0.0000000000001"])
def test_a_rate_is_above_zero(rate: object) -> None:
    assert _wrong_fields(ExchangeRateUpserted, {**LEAST[4][1], "rate": rate}) == [("rate",)]


@pytest.mark.parametrize("kind", ["assignment", "expense_report", "milestone", "budget"])
def test_business_records_have_more_kinds_than_items(kind: str) -> None:
    body = {**LEAST[3][1], "kind": kind, "parent": {"kind": kind, "record_id": "X-1"}}
    record = BusinessRecordUpserted.model_validate(body)
    assert record.parent is not None
    assert (record.kind, record.parent.kind) == (kind, kind)
