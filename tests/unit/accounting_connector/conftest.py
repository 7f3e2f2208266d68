"""Makers of small, whole billing events and what stands around them."""

from decimal import Decimal
from typing import Any

import pytest

from accounting_connector.domain.billing_events import BillingEvent, BillingEventItem, Stage
from accounting_connector.domain.companies import Address, Company, CompanySettings, Criterion, Party
from accounting_connector.domain.eligibility import Candidate
from accounting_connector.domain.tax import Tax, TaxRule
from shared.expressions import compile_expression

ZERO_RATED = TaxRule(None, None, Tax("Z", Decimal(0)))


def make_item(item_id: str = "i1", amount: str = "100.00", **changes: Any) -> BillingEventItem:
    values: dict[str, Any] = {
        "category": "timecard",
        "accounting_line_description": "Survey day",
        "quantity": Decimal(1),
        "unit_price": Decimal(amount),
        "amount": Decimal(amount),
        "services_product": "Consulting",
    }
    return BillingEventItem(item_id=item_id, **{**values, **changes})


def make_event(*items: BillingEventItem, **changes: Any) -> BillingEvent:
    values: dict[str, Any] = {
        "billing_event_id": "BE-1",
        "stage": Stage.RELEASED,
        "currency": "GBP",
        "account_id": "A-1",
        "company_id": "C-UK",
        "billing_event_currency": "GBP",
        "engagement": "ENG-7",
        "customer_reference": "PO 4711",
        "items": items or (make_item(),),
    }
    return BillingEvent(**{**values, **changes})


def make_account(**changes: Any) -> Party:
    values: dict[str, Any] = {
        "id": "A-1",
        "name": "Port Authority",
        "tax_id": "GB1",
        "address": Address(country="GB"),
    }
    return Party(**{**values, **changes})


def make_company(**settings: Any) -> Company:
    return Company(
        Party("C-UK", "Survey Ltd", "GB9", Address(country="GB")),
        CompanySettings(**{"tax_rules": (ZERO_RATED,), **settings}),
    )


def make_candidate(event: BillingEvent | None = None, **changes: Any) -> Candidate:
    values: dict[str, Any] = {"account": make_account(), "company": make_company()}
    return Candidate(event=event or make_event(), **{**values, **changes})


def make_criterion(expression: str) -> Criterion:
    return Criterion(expression, compile_expression(expression).evaluate)


class Make:
    """All makers, as one fixture."""

    item = staticmethod(make_item)
    event = staticmethod(make_event)
    account = staticmethod(make_account)
    company = staticmethod(make_company)
    candidate = staticmethod(make_candidate)
    criterion = staticmethod(make_criterion)


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make
