"""Every row of tests/vectors/jobs.json, through the running handlers over PostgreSQL (domain.md section 2)."""

from typing import Any

import pytest

from integration.release.driver import Record, generated, item, project
from integration.release.releasing import ReleasingDriver, start_job
from integration.release.test_cap_vectors import cases, described_split, vector_settings
from release.domain.settings import OnChunkFailure
from release.domain.stages import RELEASED_STAGES
from release.handlers.job_acceptance import JobAsk, accept_job
from shared.contracts.selections import Select
from shared.database.database import Database
from shared.database.unit_of_work import NO_CAUSE
from shared.money import format_amount
from support.records import message_record


def sent(case: dict[str, Any]) -> list[Record]:
    """What PSA sends of a case; a tolerance is its project's account's."""
    records = [
        message_record(
            "psa.company.upserted.v1",
            {"company_id": "C-UK", "version": 1, "accounting_currencies": ["EUR", "GBP", "USD"]},
        )
    ]
    for given in case["projects"]:
        project_id, currency = given["project_id"], given.get("currency", "GBP")
        budgets = [budget for budget in case.get("budgets", []) if budget["project_id"] == project_id]
        (tolerance,) = {budget["tolerance"] for budget in budgets} or {"0"}
        account = {
            "account_id": f"A-{project_id}",
            "version": 1,
            "cap_tolerance": {"amount": tolerance, "currency": currency},
        }
        records.append(message_record("psa.account.upserted.v1", account))
        records.append(
            project(
                project_id,
                account_id=f"A-{project_id}",
                currency=currency,
                bookings=given["bookings"],
                apply_billing_cap=given["apply_billing_cap"],
                auto_cap_billing=given["auto_cap_billing"],
                bill_to_budget_cap=given["bill_to_budget_cap"],
                budgets=[
                    {key: budget[key] for key in ("budget_id", "amount", "apply_billing_cap")}
                    for budget in budgets
                ],
            )
        )
    currencies = {given["project_id"]: given.get("currency", "GBP") for given in case["projects"]}
    for event in case["events"]:
        items = [
            item(
                each["item_id"],
                each["amount"],
                created_at=each["created_at"],
                budget_id=each["budget_id"],
                business_record_id=f"T-{each['item_id']}",
                services_product="Consulting",
            )
            for each in event["items"]
        ]
        records.append(
            generated(
                event["billing_event_id"],
                *items,
                project_id=event["project_id"],
                date=event["date"],
                batch_id=event["batch_id"],
                currency=event.get("currency", currencies[event["project_id"]]),
            )
        )
    return records


async def put_into_stages(driver: ReleasingDriver, case: dict[str, Any]) -> None:
    """Events that a case gives in another stage, or on hold."""
    async with driver.database.transaction() as work:
        for event in case["events"]:
            stage = event.get("stage", "awaiting_release")
            await work.connection.execute(
                "update billing_events set stage = $2, on_hold = $3, queued_by = $4,"
                " released_at = case when $5 then now() end where billing_event_id = $1",
                event["billing_event_id"],
                stage,
                event.get("on_hold", False),
                "J-other" if stage == "queued" else None,
                stage in RELEASED_STAGES or stage == "reverted",
            )


async def results(driver: ReleasingDriver, expected: dict[str, Any]) -> dict[str, Any]:
    """What the facts say that has become of each event, in the words of the vectors."""
    splits = {fact["origin_id"]: fact for fact in await driver.facts("split")}
    found: dict[str, Any] = {}
    for fact in await driver.facts("released", "refused"):
        if fact.type == "release.billing-event.refused.v1":
            refused: dict[str, Any] = {
                "outcome": "refused",
                "codes": [reason["code"] for reason in fact["reasons"]],
            }
            if "batch_failed" in refused["codes"]:
                refused["culprits"] = fact["reasons"][0]["detail"]["culprits"]
            found[fact["billing_event_id"]] = refused
            continue
        billing_event_id = fact["billing_event"]["billing_event_id"]
        found[billing_event_id] = {"outcome": "released"}
        if split := splits.get(billing_event_id):
            described = described_split(split) | {
                "outcome": "split",
                "new_billing_event_id": split["new_id"],
                "remaining": fact["cap"]["remaining_after"],
            }
            wanted = expected.get(billing_event_id, {})
            found[billing_event_id] = {key: value for key, value in described.items() if key in wanted}
    return found


async def accept_dry_run(driver: ReleasingDriver, dry_run: dict[str, Any]) -> None:
    """Work the dry run J-dry of a case."""
    asked = dry_run.get("on_chunk_failure")
    ask = JobAsk(
        "J-dry",
        "background",
        Select.model_validate(dry_run["select"]),
        False,
        None,
        NO_CAUSE,
        dry_run=True,
        on_chunk_failure=None if asked is None else OnChunkFailure(asked),
    )
    await driver.database.run(lambda work: accept_job(work, ask, driver.settings))
    await driver.finish_jobs()


@pytest.mark.parametrize("case", cases("jobs"))
async def test_job_is_decided_as_the_vector_says(store: Database, case: dict[str, Any]) -> None:
    driver = ReleasingDriver(store, vector_settings(case))
    await driver.psa(*sent(case))
    await put_into_stages(driver, case)
    currencies = {given["project_id"]: given.get("currency", "GBP") for given in case["projects"]}
    for given in case["projects"]:
        project_id = given["project_id"]
        await driver.seed_released(given["released"], currencies[project_id], project_id)
    for budget in case.get("budgets", []):
        project_id, budget_id = budget["project_id"], budget["budget_id"]
        await driver.seed_released(budget["released"], currencies[project_id], project_id, budget_id)

    if dry_run := case.get("dry_run"):
        await accept_dry_run(driver, dry_run)
    asked = {"on_chunk_failure": case["on_chunk_failure"]} if "on_chunk_failure" in case else {}
    await driver.command(start_job("J-1", case["select"], **asked))
    if (chunks := case.get("stop_after_chunks")) is not None:
        for _ in range(chunks + 1 if chunks else 0):
            await driver.work_jobs()
        await driver.command(message_record("release.job.stop.v1", {"job_id": "J-1"}))
    await driver.finish_jobs()

    expected = case["expect"]
    assert await results(driver, expected["events"]) == expected["events"]
    budgets: dict[str, str] = {}
    for project_id, remaining in expected["projects"].items():
        cap = await driver.cap(project_id)
        assert format_amount(cap.remaining, cap.currency) == remaining["remaining"]
        for budget_id, held in cap.budgets.items():
            budgets[budget_id] = format_amount(held.released_in(cap.currency), cap.currency)
    for budget_id, budget in expected.get("budgets", {}).items():
        assert budgets[budget_id] == budget["released"]
    jobs = [fact for fact in await driver.facts() if fact.type == "release.job.completed.v1"]
    assert [{key: job[key] for key in expected["job"]} for job in jobs] == [expected["job"]]
    failures = jobs[0]["failures"]
    for name in {"held_back", "can_be_split"} & expected.keys():
        assert [each["billing_event_id"] for each in failures if each[name]] == expected[name]
    for event in case["events"]:
        event_id = event["billing_event_id"]
        if event_id not in expected["events"]:
            assert await driver.stage(event_id) == event.get("stage", "awaiting_release")
    assert await driver.dead_letters() == []
