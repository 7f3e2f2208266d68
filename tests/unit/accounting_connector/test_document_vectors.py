"""Every case of tests/vectors/documents.json: documents from one released billing event."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounting_connector.domain.assessment import assess
from accounting_connector.domain.billing_events import BillingEvent, BillingEventItem, Stage
from accounting_connector.domain.companies import Address, Company, CompanySettings, Criterion, Party
from accounting_connector.domain.documents import Document, draft_document, validate_document
from accounting_connector.domain.eligibility import Candidate, Terms
from accounting_connector.domain.tax import Tax, TaxRule
from shared.expressions import compile_expression
from shared.money import format_amount

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "documents.json").read_text("utf-8")
)["cases"]


def event_of(case: dict[str, Any]) -> BillingEvent:
    given = dict(case["event"])
    items = tuple(
        BillingEventItem(
            **{**item, **{name: Decimal(item[name]) for name in ("quantity", "unit_price", "amount")}}
        )
        for item in given.pop("items")
    )
    return BillingEvent(items=items, stage=Stage(given.pop("stage")), **given)


def company_of(given: dict[str, Any]) -> Company:
    def criteria(expressions: list[str]) -> tuple[Criterion, ...]:
        return tuple(Criterion(text, compile_expression(text).evaluate) for text in expressions)

    rules = tuple(
        TaxRule(rule["services_product"], rule["country"], Tax(rule["category"], Decimal(rule["rate"])))
        for rule in given["tax_rules"]
    )
    settings = CompanySettings(
        event_criteria=criteria(given["event_criteria"]),
        item_criteria=criteria(given["item_criteria"]),
        tax_rules=rules,
        documents_elsewhere=given["documents_elsewhere"],
    )
    return Company(Party(given["company_id"], "Survey Ltd", given["tax_id"], Address()), settings)


def candidate_of(case: dict[str, Any]) -> Candidate:
    event, context, customer = event_of(case), case.get("context", {}), case["customer"]
    account = Party(customer["account_id"], "Port Authority", None, Address(country=customer["country"]))
    return Candidate(
        event=event,
        account=account if event.account_id else None,
        company=company_of(case["company"]) if event.company_id else None,
        claimed_by_run=context.get("claimed_by_run"),
    )


def terms_of(case: dict[str, Any]) -> Terms:
    context = case.get("context", {})
    return Terms(
        max_lines=case["settings"]["max_lines"],
        payment_days=case["settings"]["payment_days"],
        asked_by_run=context.get("asked_by_run"),
        waive_released=context.get("waive_released", False),
    )


def shown(document: Document) -> dict[str, Any]:
    """The document as the vectors compare it: amounts as text, quantities, prices and rates as numbers."""

    def amount(value: Decimal) -> str:
        assert f"{value:f}" == format_amount(value, document.currency)
        return f"{value:f}"

    return {
        "kind": document.kind.value,
        "currency": document.currency,
        "lines": [
            {
                "billing_event_item_id": line.billing_event_item_id,
                "description": line.description,
                "product": line.product,
                "quantity": line.quantity,
                "unit_price": line.unit_price,
                "amount": amount(line.amount),
                "tax_category": line.tax_category,
                "tax_rate": line.tax_rate,
            }
            for line in document.lines
        ],
        "taxes": [
            {
                "category": total.category,
                "rate": total.rate,
                "taxable": amount(total.taxable),
                "tax": amount(total.tax),
            }
            for total in document.taxes
        ],
        "total_net": amount(document.total_net),
        "total_tax": amount(document.total_tax),
        "total_gross": amount(document.total_gross),
        "excluded_items": list(document.excluded_items),
    }


def expected(document: dict[str, Any]) -> dict[str, Any]:
    def numbers(values: dict[str, Any]) -> dict[str, Any]:
        names = {"quantity", "unit_price", "tax_rate", "rate"}
        return {name: Decimal(value) if name in names else value for name, value in values.items()}

    rest = {name: value for name, value in document.items() if name != "due_date"}
    lines, taxes = map(numbers, document["lines"]), map(numbers, document["taxes"])
    return {**rest, "lines": list(lines), "taxes": list(taxes)}


def named(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in cases]


DOCUMENTS = [case for case in CASES if "document" in case["expect"]]
REFUSALS = [case for case in CASES if "codes" in case["expect"]]


def test_every_case_is_tested() -> None:
    assert len(DOCUMENTS) + len(REFUSALS) == len(CASES) >= 40
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", named(DOCUMENTS))
def test_makes_the_document(case: dict[str, Any]) -> None:
    dates = case.get("dates", {"invoice_date": "2026-11-20", "collection_date": None})
    terms = terms_of(case)
    assessment = assess(candidate_of(case), terms)
    assert assessment.reasons == ()
    invoice_date = date.fromisoformat(dates["invoice_date"])
    collection_date = date.fromisoformat(dates["collection_date"]) if dates["collection_date"] else None
    draft = draft_document(
        "D-1", [assessment], terms, invoice_date=invoice_date, collection_date=collection_date
    )
    wanted = case["expect"]["document"]
    for document in (draft, validate_document(draft, "SIN-2026-000001", invoice_date)):
        assert shown(document) == expected(wanted)
        if "due_date" in wanted:
            assert document.due_date is not None
            assert document.due_date.isoformat() == wanted["due_date"]


@pytest.mark.parametrize("case", named(REFUSALS))
def test_names_every_reason(case: dict[str, Any]) -> None:
    reasons = assess(candidate_of(case), terms_of(case)).reasons
    assert [reason.code for reason in reasons] == case["expect"]["codes"]
    if "items" in case["expect"]:
        assert [reason.detail["items"] for reason in reasons if "items" in reason.detail] == [
            case["expect"]["items"]
        ]
