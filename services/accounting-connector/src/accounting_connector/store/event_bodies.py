"""Billing events between JSON, as release tells of them, and what the domain decides on."""

import datetime
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from accounting_connector.domain.billing_events import BillingEvent, BillingEventItem, Stage


def billing_event_of(body: Mapping[str, Any], stage: Stage) -> BillingEvent:
    """The event that a fact's `billing_event` tells of, in the stage that the connector knows it in.

    Raises KeyError, TypeError, ValueError or decimal.InvalidOperation for what is no such body.
    """
    return BillingEvent(
        billing_event_id=body["billing_event_id"],
        stage=stage,
        currency=body["currency"],
        account_id=body.get("account_id"),
        company_id=body.get("company_id"),
        billing_event_currency=body.get("billing_event_currency"),
        items=tuple([_item(item) for item in body["items"]]),
        project_id=body.get("project_id"),
        batch_id=body.get("batch_id"),
        date=_day(body.get("date")),
        engagement=body.get("engagement"),
        customer_reference=body.get("customer_reference"),
        auto_pass_to_accounting=body.get("auto_pass_to_accounting") is True,
        corrects_billing_event_id=body.get("corrects_billing_event_id"),
        fields=_fields(body),
        told=body,
    )


def _item(body: Mapping[str, Any]) -> BillingEventItem:
    description = body.get("description")
    return BillingEventItem(
        item_id=body["item_id"],
        category=body["category"],
        accounting_line_description=body.get("accounting_line_description") or description or "",
        quantity=Decimal(body["quantity"]),
        unit_price=Decimal(body["unit_price"]),
        amount=Decimal(body["amount"]),
        services_product=body.get("services_product"),
        business_record_id=body.get("business_record_id"),
        description=description,
        date=_day(body.get("date")),
        budget_id=body.get("budget_id"),
        corrects_item_id=body.get("corrects_item_id"),
        fields=_fields(body),
        told=body,
    )


@lru_cache(maxsize=4_096)  # the items of a batch share few days
def _day(text: str | None) -> datetime.date | None:
    return None if text is None else datetime.date.fromisoformat(text)


def _fields(body: Mapping[str, Any]) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = body.get("fields") or {}
    return {name: _exact(value) for name, value in fields.items()} if fields else fields


def _exact(value: Any) -> Any:
    """The custom field with exact numbers: what JSON wrote as 0.1 is one tenth to criteria and mappings."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {name: _exact(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_exact(member) for member in value]
    return value
