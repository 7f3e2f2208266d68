"""Billing events arrive, are completed, replaced and deleted (domain.md section 1)."""

import json
from typing import Any

import pytest

from integration.release.driver import (
    GENERATED,
    ReleaseDriver,
    business_record,
    company,
    deleted,
    everything_known,
    generated,
    item,
    project,
    words,
)
from support.records import message_record


async def mark_released(release: ReleaseDriver, stage: str = "released") -> None:
    await release.database.pool.execute("update billing_events set stage = $1, released_at = now()", stage)


async def test_an_event_is_completed_and_told_of(release: ReleaseDriver) -> None:
    await release.psa(*everything_known(), generated())
    event = await release.event()
    assert event["stage"] == "awaiting_release"
    assert (event["account_id"], event["company_id"], event["billing_event_currency"]) == (
        "A-1",
        "C-UK",
        "GBP",
    )
    assert event["filled"] == {
        "account_id": "project",
        "company_id": "project",
        "billing_event_currency": "company",
    }
    assert event["summary_amount"] == "100.00"
    assert event["engagement"] == "ENG-7"
    assert event["items"][0]["services_product"] == "Consulting"
    assert event["items"][0]["services_product_from"] == "project"
    (fact,) = await release.facts()
    assert words([fact]) == ["registered"]
    assert fact.key == "P-1"
    assert fact["billing_event"] == event


async def test_an_incomplete_event_is_registered_too_and_completes_when_its_sources_come(
    release: ReleaseDriver,
) -> None:
    await release.psa(generated())
    first = await release.event()
    assert first["stage"] == "incomplete"
    assert first["waits_for"] == [{"kind": "project", "id": "P-1"}, {"kind": "timecard", "id": "T-1"}]
    for record in everything_known():
        await release.psa(record)
        await release.settle()
    event = await release.event()
    assert event["stage"] == "awaiting_release"
    assert event["missing"] == []
    facts = await release.facts()
    assert words(facts)[0] == "registered"
    assert set(words(facts)[1:]) == {"changed"}
    assert facts[0]["billing_event"]["stage"] == "incomplete"
    assert facts[-1]["billing_event"] == event


async def test_the_fact_of_a_completion_names_the_message_that_brought_the_source(
    release: ReleaseDriver,
) -> None:
    await release.psa(project(), company(), generated())
    await release.settle()
    last = business_record()
    await release.psa(last)
    await release.settle()
    (fact,) = await release.facts("changed")
    assert fact.causation_id == dict(last.headers)["ce_id"].decode()


async def test_a_redelivered_event_changes_nothing(release: ReleaseDriver) -> None:
    await release.psa(*everything_known(), generated())
    before = await release.event()
    await release.psa(generated(message_id="another"), generated(message_id="another"))
    assert await release.event() == before
    assert words(await release.facts()) == ["registered"]


async def test_a_later_version_replaces_and_an_older_one_is_ignored(release: ReleaseDriver) -> None:
    await release.psa(*everything_known(), generated())
    await release.psa(generated("BE-1", item("i1", "70.00"), item("i2", "5.00"), version=3))
    await release.psa(generated("BE-1", item("i9", "1.00"), version=2))
    event = await release.event()
    assert [each["item_id"] for each in event["items"]] == ["i1", "i2"]
    assert (event["version"], event["summary_amount"]) == (3, "75.00")
    assert words(await release.facts()) == ["registered", "changed"]


async def test_versions_in_one_batch_act_in_their_order(release: ReleaseDriver) -> None:
    await release.psa(
        *everything_known(),
        generated(),
        generated("BE-1", item("i1", "70.00"), version=2),
        deleted(version=3),
        generated(version=4),
    )
    assert (await release.event())["stage"] == "deleted"
    assert words(await release.facts()) == ["registered", "changed", "deleted", "refused"]


async def test_a_delete_that_comes_first_is_kept(release: ReleaseDriver) -> None:
    await release.psa(deleted(version=2))
    assert await release.facts() == []
    await release.psa(*everything_known(), generated(version=1))
    await release.settle()
    event = await release.event()
    assert (event["stage"], event["version"], event["summary_amount"]) == ("deleted", 2, "100.00")
    await release.psa(generated(version=2), generated(version=3))
    told, refused = await release.facts()
    assert words([told, refused]) == ["deleted", "refused"]
    assert (told["project_id"], told["version"]) == ("P-1", 2)
    assert refused["reasons"][0]["code"] == "deleted"


async def test_a_delete_that_the_storing_transaction_did_not_see_takes_effect(release: ReleaseDriver) -> None:
    await release.psa(deleted(version=2))
    async with release.database.transaction() as work:
        # As another replica does that took its snapshot before the delete was committed.
        await work.connection.execute(
            "insert into billing_events (billing_event_id, version, project_id, date, currency,"
            " auto_pass_to_accounting, fields, filled, missing, waits_for, stage, summary_amount, item_count)"
            " values ('BE-1', 1, 'P-1', '2026-11-20', 'GBP', false, '{}', '{}', '{}', '[]', 'incomplete', 0, 0)"
        )
    await release.settle()
    assert (await release.event())["stage"] == "deleted"
    assert words(await release.facts()) == ["deleted"]


@pytest.mark.parametrize("stage", ["awaiting_release", "queued"])
async def test_psa_may_change_and_delete_what_is_not_released(release: ReleaseDriver, stage: str) -> None:
    await release.psa(*everything_known(), generated())
    if stage == "queued":
        await release.database.pool.execute("update billing_events set stage = 'queued', queued_by = 'J-1'")
    await release.psa(generated("BE-1", item("i1", "70.00"), version=2))
    event = await release.event()
    assert (event["stage"], event["summary_amount"]) == (stage, "70.00")
    await release.psa(deleted(version=3))
    assert (await release.event())["stage"] == "deleted"


async def test_a_queued_event_that_now_waits_is_no_longer_queued(release: ReleaseDriver) -> None:
    await release.psa(*everything_known(), generated())
    await release.database.pool.execute("update billing_events set stage = 'queued', queued_by = 'J-1'")
    await release.psa(generated("BE-1", item(business_record_id="T-2"), version=2))
    event = await release.event()
    assert (event["stage"], event["queued_by"]) == ("incomplete", None)
    await release.psa(business_record("T-2"))
    await release.settle()
    assert (await release.event())["stage"] == "awaiting_release"


@pytest.mark.parametrize("stage", ["released", "invoiced", "reverting", "closed"])
async def test_a_change_of_a_released_event_is_refused(release: ReleaseDriver, stage: str) -> None:
    await release.psa(*everything_known(), generated())
    before = await release.event()
    await mark_released(release, stage)
    await release.psa(generated("BE-1", item("i1", "70.00"), version=2), deleted(version=3))
    event = await release.event()
    assert (event["summary_amount"], event["version"]) == (before["summary_amount"], 1)
    assert event["stage"] == stage
    refusals = await release.facts("refused")
    assert [fact["reasons"][0]["code"] for fact in refusals] == ["already_released", "already_released"]
    assert {fact.key for fact in refusals} == {"P-1"}


async def test_what_is_empty_on_a_released_event_is_filled_by_psa(release: ReleaseDriver) -> None:
    await release.psa(project(account_id=None), company(), business_record(), generated())
    await mark_released(release)
    await release.psa(generated(version=2, account_id="A-9"))
    event = await release.event()
    assert (event["account_id"], event["stage"], event["missing"]) == ("A-9", "released", [])
    assert words(await release.facts()) == ["registered", "changed"]


async def test_what_psa_fills_on_a_released_event_is_a_source_of_what_is_still_empty(
    release: ReleaseDriver,
) -> None:
    await release.psa(project(company_id=None), company(), business_record(), generated())
    await mark_released(release)
    await release.psa(generated(version=2, company_id="C-UK"))
    event = await release.event()
    assert (event["company_id"], event["billing_event_currency"], event["missing"]) == ("C-UK", "GBP", [])
    assert event["filled"]["billing_event_currency"] == "company"


async def test_custom_fields_that_are_sent_again_are_no_change(release: ReleaseDriver) -> None:
    fields = {"rate": 1.25, "steps": [1, {"deep": None}], "text": "é", "yes": True}
    whole = item(fields=fields, created_at="2026-11-20T10:00:00.123456+01:00", quantity="1.50")
    await release.psa(project(account_id=None), company(), business_record(), generated("BE-1", whole))
    await mark_released(release)
    await release.psa(generated("BE-1", whole, version=2, account_id="A-9"))
    assert (await release.event())["account_id"] == "A-9"
    assert await release.facts("refused") == []


async def test_what_is_empty_on_a_released_event_is_filled_when_its_source_comes(
    release: ReleaseDriver,
) -> None:
    await release.psa(project(account_id=None), company(), business_record(), generated())
    await mark_released(release)
    await release.psa(project(version=2, account_id="A-2", services_product="Other"))
    await release.settle()
    event = await release.event()
    assert (event["account_id"], event["stage"]) == ("A-2", "released")
    assert event["items"][0]["services_product"] == "Consulting"


async def test_an_item_that_a_split_moved_away_is_no_change(release: ReleaseDriver) -> None:
    await release.psa(*everything_known(), generated("BE-1", item("i1"), item("i2"), account_id=None))
    await release.psa(generated("BE-1.2", item("i3")))
    pool = release.database.pool
    await pool.execute("update billing_event_items set billing_event_id = 'BE-1.2' where item_id = 'i2'")
    await pool.execute(
        "update billing_events set root_id = 'BE-1', origin_id = 'BE-1', made_by_cap = true"
        " where billing_event_id = 'BE-1.2'"
    )
    await pool.execute(
        "update billing_events set stage = 'released', released_at = now(), account_id = null,"
        " filled = filled - 'account_id'"
        " where billing_event_id = 'BE-1'"
    )
    await release.psa(generated("BE-1", item("i1"), item("i2"), version=2, account_id="A-9"))
    assert (await release.event())["account_id"] == "A-9"
    assert await release.facts("refused") == []
    await release.psa(generated("BE-1", item("i1"), item("i2", "99.00"), version=3, account_id="A-9"))
    (refused,) = await release.facts("refused")
    assert refused["reasons"][0]["detail"]["fields"] == ["items.amount", "items.unit_price"]


@pytest.mark.parametrize("stage", ["reverted", "deleted"])
async def test_an_id_that_is_over_is_refused_when_it_is_sent_anew(release: ReleaseDriver, stage: str) -> None:
    await release.psa(*everything_known(), generated())
    await release.database.pool.execute(
        "update billing_events set stage = $1, released_at = case when $1 = 'reverted' then now() end", stage
    )
    await release.psa(generated(version=2))
    (fact,) = await release.facts("refused")
    assert fact["reasons"][0]["code"] == stage
    assert (await release.event())["stage"] == stage


async def test_what_was_filled_follows_its_source_until_release(release: ReleaseDriver) -> None:
    await release.psa(*everything_known(), generated())
    await release.psa(project(version=2, account_id="A-2", services_product="Surveying"))
    await release.settle()
    event = await release.event()
    assert event["account_id"] == "A-2"
    assert event["items"][0]["services_product"] == "Surveying"
    await mark_released(release)
    await release.psa(project(version=3, account_id="A-3"))
    await release.settle()
    assert (await release.event())["account_id"] == "A-2"


async def test_an_older_version_of_a_source_is_ignored(release: ReleaseDriver) -> None:
    await release.psa(project(version=5, account_id="A-5"), project(version=4, account_id="A-4"))
    await release.psa(project(version=3, account_id="A-3", budgets=[{"budget_id": "B-1", "amount": "1"}]))
    await release.psa(company(), business_record(), generated())
    assert (await release.event())["account_id"] == "A-5"
    assert await release.database.pool.fetchval("select count(*) from budgets") == 0


async def test_budgets_go_with_their_project(release: ReleaseDriver) -> None:
    budgets = [{"budget_id": "B-1", "amount": "10.00"}, {"budget_id": "B-2", "amount": "20.00"}]
    await release.psa(project(budgets=budgets[:1]), company(), business_record())
    await release.psa(generated("BE-1", item(budget_id="B-2")))
    assert (await release.event())["waits_for"] == [{"kind": "budget", "id": "B-2"}]
    await release.psa(project(version=2, budgets=budgets))
    await release.settle()
    assert (await release.event())["stage"] == "awaiting_release"
    await release.psa(project(version=3, budgets=budgets[:1]))
    await release.settle()
    assert (await release.event())["stage"] == "incomplete"


async def test_a_change_far_up_the_chain_reaches_the_event(release: ReleaseDriver) -> None:
    chain = [("E-1", "expense"), ("R-1", "expense_report"), ("S-1", "assignment"), ("M-1", "milestone")]
    parents = [{"kind": kind, "record_id": record_id} for record_id, kind in chain[1:]]
    await release.psa(
        project(),
        company(),
        *(
            business_record(record_id, kind, parent=parent)
            for (record_id, kind), parent in zip(chain, [*parents, None], strict=True)
        ),
        generated("BE-1", item(category="expense", business_record_id="E-1")),
    )
    assert (await release.event())["items"][0]["services_product_from"] == "project"
    await release.psa(business_record("M-1", "milestone", version=2, services_product="Milestones"))
    await release.settle()
    assert (await release.event())["items"][0]["services_product"] == "Milestones"


async def test_records_that_are_their_own_parents_do_no_harm(release: ReleaseDriver) -> None:
    circle = {"kind": "timecard", "record_id": "T-1"}
    await release.psa(project(), company(), generated())
    await release.psa(business_record("T-1", parent=circle))
    await release.settle()
    assert (await release.event())["stage"] == "awaiting_release"


async def test_a_bad_event_is_put_aside_and_the_others_are_taken(release: ReleaseDriver) -> None:
    body = json.loads(generated("BE-2").value or b"{}") | {"currency": "JPY"}
    await release.psa(
        *everything_known(), generated(), message_record(GENERATED, body | {"items": [item(amount="0.5")]})
    )
    assert len(await release.dead_letters()) == 1
    assert words(await release.facts()) == ["registered"]


async def test_surplus_zeros_are_dropped_and_never_shown(release: ReleaseDriver) -> None:
    await release.psa(project(currency="JPY"), company(), business_record(), generated(currency="JPY"))
    event = await release.event()
    assert (event["summary_amount"], event["items"][0]["amount"]) == ("100", "100")
    assert await release.dead_letters() == []


async def test_a_correction_in_a_currency_that_ended_is_judged_by_its_originals_date(
    release: ReleaseDriver,
) -> None:
    await release.psa(*everything_known(), generated("BE-1", currency="BGN", date="2025-12-31"))
    corrections = {"BE-1": "BE-1C", "BE-2": "BE-2C"}
    await release.psa(
        *(
            generated(new, item(amount="-40.00"), currency="BGN", corrects_billing_event_id=original)
            for original, new in corrections.items()
        ),
        generated("BE-3", currency="BGN"),
    )
    assert (await release.event("BE-1C"))["summary_amount"] == "-40.00"
    reason = "not a valid psa.billing-event.generated.v1: currency BGN ended on 2025-12-31, before 2026-11-20"
    assert await release.dead_letters() == [reason, reason]


async def test_an_event_that_no_fact_could_tell_is_put_aside(release: ReleaseDriver) -> None:
    large = [item(f"i{number}", description="x" * 10_000) for number in range(500)]
    await release.psa(*everything_known(), generated("BE-1", *large), generated("BE-2"))
    assert words(await release.facts()) == ["registered"]
    assert await release.dead_letters() == [
        "too_large: the completed billing event could be more than one message may tell: divide it"
    ]


async def test_every_decision_is_in_the_history(release: ReleaseDriver) -> None:
    await release.psa(
        *everything_known(), generated(), generated(version=2), deleted(version=3), generated(version=4)
    )
    rows = await release.database.pool.fetch(
        "select what, detail from billing_event_history order by entry_id"
    )
    assert [row["what"] for row in rows] == ["registered", "changed", "deleted", "refused"]
    assert rows[-1]["detail"]["reasons"][0]["code"] == "deleted"


async def test_a_project_that_becomes_capped_at_both_levels_is_told_of_once(release: ReleaseDriver) -> None:
    caps: dict[str, Any] = {"apply_billing_cap": True, "auto_cap_billing": True}
    capped = [{"budget_id": "B-1", "amount": "10.00", "apply_billing_cap": True}]
    await release.psa(project(**caps))
    assert await release.facts() == []
    await release.psa(project(version=2, budgets=capped, **caps))
    await release.psa(project(version=3, budgets=capped, **caps))
    (fact,) = await release.facts()
    assert fact.type == "release.cap.configuration-conflict.v1"
    assert (fact.key, fact["version"], fact["budget_ids"]) == ("P-1", 2, ["B-1"])
    await release.psa(company(), business_record(), generated())
    assert (await release.event())["conflict"] is True


async def test_bookings_that_fall_cross_the_threshold(release: ReleaseDriver) -> None:
    watched: dict[str, Any] = {
        "apply_billing_cap": True,
        "alert_threshold": "80",
        "alert_recipient": "pm@example.com",
    }
    await release.psa(project(bookings="1000.00", **watched))
    await release.database.pool.execute(
        "insert into project_totals (project_id, currency, released) values ('P-1', 'GBP', 500)"
    )
    await release.psa(project(version=2, bookings="600.00", **watched))
    await release.psa(project(version=3, bookings="590.00", **watched))
    (fact,) = await release.facts()
    assert fact.type == "release.cap.threshold-crossed.v1"
    assert (fact["bookings"], fact["released"]) == ("600.00", "500.00")
