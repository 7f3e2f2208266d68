"""Every row of tests/vectors/caps.json, through the running handlers over PostgreSQL (domain.md section 3)."""

import json
from pathlib import Path
from typing import Any

import pytest

from integration.release.driver import ACCOUNT, Record, generated, item, project
from integration.release.releasing import SETTINGS, ReleasingDriver, rate, release, start_job
from release.domain.settings import OnChunkFailure, ReleaseSettings
from shared.database.database import Database
from shared.money import format_amount
from support.records import message_record

VECTORS = Path(__file__).parents[2] / "vectors"


def cases(name: str) -> list[Any]:
    found = json.loads((VECTORS / f"{name}.json").read_text())["cases"]
    assert found
    return [pytest.param(case, id=case["name"]) for case in found]


def vector_settings(case: dict[str, Any]) -> ReleaseSettings:
    given = dict(case["settings"])
    on_chunk_failure = OnChunkFailure(given.pop("on_chunk_failure", "fail"))
    return ReleaseSettings(
        support_contact=SETTINGS.support_contact, on_chunk_failure=on_chunk_failure, **given
    )


def sent(case: dict[str, Any], currency: str) -> list[Record]:
    """What PSA sends of a case."""
    tolerance = case.get("account_tolerance")
    for budget in case["budgets"]:
        if budget["tolerance"] is not None:
            tolerance = {"amount": budget["tolerance"], "currency": currency}
    given = case["project"]
    items = [
        item(
            each["item_id"],
            each["amount"],
            created_at=each["created_at"],
            budget_id=each["budget_id"],
            business_record_id=f"T-{each['item_id']}",
            services_product="Consulting",
        )
        for each in case["items"]
    ]
    return [
        message_record(
            "psa.company.upserted.v1",
            {"company_id": "C-UK", "version": 1, "accounting_currencies": sorted({"GBP", "EUR", currency})},
        ),
        message_record(ACCOUNT, {"account_id": "A-1", "version": 1, "cap_tolerance": tolerance}),
        *(rate(pair, value) for pair, value in case.get("exchange_rates", {}).items()),
        project(
            currency=currency,
            bookings=given["bookings"],
            apply_billing_cap=given["apply_billing_cap"],
            auto_cap_billing=given["auto_cap_billing"],
            bill_to_budget_cap=given["bill_to_budget_cap"],
            budgets=[
                {key: budget[key] for key in ("budget_id", "amount", "apply_billing_cap")}
                for budget in case["budgets"]
            ],
        ),
        generated("BE-1", *items, currency=case.get("event_currency", currency)),
    ]


async def released_by(driver: ReleasingDriver, case: dict[str, Any]) -> None:
    """Release the case's event by its channel, to the end."""
    if case["channel"] == "job":
        await driver.command(start_job("J-1", {"billing_event_ids": ["BE-1"]}))
    else:
        await driver.command(release("BE-1", on_cap=case["on_cap"]))
    await driver.finish_jobs()


def described_split(result: dict[str, Any]) -> dict[str, Any]:
    halves = result["adjustments"]
    return {
        "released": result["released_item_ids"],
        "moved": result["moved_item_ids"],
        "adjustments": [
            {"budget_id": own["budget_id"], "in_origin": own["amount"], "in_new": other["amount"]}
            for own, other in zip(halves[::2], halves[1::2], strict=True)
        ],
    }


async def described(driver: ReleasingDriver, currency: str) -> dict[str, Any]:
    """What the facts say that has become of BE-1, in the words of the vectors."""
    remaining = format_amount((await driver.cap()).remaining, currency)
    for refused in await driver.facts("refused"):
        actual: dict[str, Any] = {
            "outcome": "refused",
            "codes": [reason["code"] for reason in refused["reasons"]],
        }
        if refused["preview"] is not None:
            preview = refused["preview"]
            actual["preview"] = described_split(preview) | {"remaining": preview["cap"]["remaining_after"]}
        return actual
    (fact,) = await driver.facts("released")
    for split in await driver.facts("split"):
        assert fact["cap"] is None or fact["cap"]["remaining_after"] == remaining
        return {"outcome": "split", "remaining": remaining} | described_split(split)
    return {"outcome": "released", "remaining": remaining}


@pytest.mark.parametrize("case", cases("caps"))
async def test_cap_decision_is_as_the_vector_says(store: Database, case: dict[str, Any]) -> None:
    driver = ReleasingDriver(store, vector_settings(case))
    currency = case["project"].get("currency", "GBP")
    await driver.psa(*sent(case, currency))
    await driver.seed_released(case["project"]["released"], currency)
    for budget in case["budgets"]:
        await driver.seed_released(budget["released"], currency, budget_id=budget["budget_id"])
    if case.get("on_hold"):
        await driver.command(
            message_record("release.billing-event.hold.v1", {"billing_event_id": "BE-1", "on_hold": True})
        )
    before = await driver.cap()

    await released_by(driver, case)

    expected = dict(case["expect"])
    budgets, tolerances = expected.pop("budgets", {}), expected.pop("tolerances", {})
    actual = await described(driver, currency)
    if "remaining" not in expected:
        actual.pop("remaining", None)
    assert actual == expected
    after = await driver.cap()
    assert await driver.dead_letters() == []
    for budget_id, budget in budgets.items():
        assert format_amount(after.budgets[budget_id].released_in(currency), currency) == budget["released"]
    for budget_id, tolerance in tolerances.items():
        assert format_amount(before.budgets[budget_id].tolerance.amount, currency) == tolerance
    if expected["outcome"] == "refused":
        assert after == before
