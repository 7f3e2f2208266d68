"""Fills, holds and recalculations by command (domain.md sections 1 and 2)."""

from typing import Any

import pytest

from integration.release.driver import (
    Record,
    ReleaseDriver,
    business_record,
    company,
    everything_known,
    generated,
    item,
    project,
    words,
)
from release.consumers import accounting_line
from shared.messaging.batches import BatchProcessor
from support.records import message_record

USER = {"user_id": "u1", "email": "u1@example.com"}


def fill(billing_event_id: str = "BE-1", **fields: Any) -> Record:
    body = {"billing_event_id": billing_event_id, "requested_by": USER}
    return message_record("release.billing-event.fill.v1", body | fields)


def hold(on_hold: bool, billing_event_id: str = "BE-1") -> Record:
    body = {"billing_event_id": billing_event_id, "on_hold": on_hold, "requested_by": USER}
    return message_record("release.billing-event.hold.v1", body)


def recalculate(billing_event_id: str = "BE-1") -> Record:
    return message_record("release.billing-event.recalculate.v1", {"billing_event_id": billing_event_id})


@pytest.fixture
async def without_account(release: ReleaseDriver) -> ReleaseDriver:
    """BE-1 awaits release, without account, company and products."""
    bare = project(account_id=None, company_id=None, services_product=None)
    await release.psa(bare, company(), business_record(), generated())
    return release


async def mark_released(release: ReleaseDriver, stage: str = "released") -> None:
    await release.database.pool.execute("update billing_events set stage = $1, released_at = now()", stage)


@pytest.mark.parametrize("stage", ["awaiting_release", "released"])
async def test_a_user_fills_what_is_empty(without_account: ReleaseDriver, stage: str) -> None:
    release = without_account
    if stage == "released":
        await mark_released(release)
    products = [{"item_id": "i1", "services_product": "Diving"}]
    await release.command(fill(account_id="A-7", company_id="C-UK", items=products))
    event = await release.event()
    assert (event["stage"], event["account_id"], event["company_id"]) == (stage, "A-7", "C-UK")
    assert event["billing_event_currency"] == "GBP"
    assert event["filled"] == {
        "account_id": "user",
        "company_id": "user",
        "billing_event_currency": "company",
    }
    assert (event["items"][0]["services_product"], event["items"][0]["services_product_from"]) == (
        "Diving",
        "user",
    )
    assert event["missing"] == []
    (fact,) = await release.facts("changed")
    assert fact["starter"] == USER
    assert fact["billing_event"] == event


async def test_what_is_filled_by_hand_outlasts_completion_and_later_versions(
    without_account: ReleaseDriver,
) -> None:
    release = without_account
    await release.command(fill(account_id="A-7"))
    await release.psa(project(version=2, account_id="A-1"))
    await release.settle()
    await release.psa(generated(version=2))
    assert (await release.event())["account_id"] == "A-7"


async def test_a_process_may_set_the_flag_on_a_released_event(without_account: ReleaseDriver) -> None:
    release = without_account
    await mark_released(release)
    await release.command(fill(auto_pass_to_accounting=True, requested_by=None))
    event = await release.event()
    assert event["auto_pass_to_accounting"] is True
    assert event["filled"] == {"auto_pass_to_accounting": "process"}


@pytest.mark.parametrize(
    ("stage", "code"),
    [("awaiting_release", "not_empty"), ("released", "already_released"), ("invoiced", "already_released")],
)
async def test_a_fill_of_what_is_not_empty_is_refused(release: ReleaseDriver, stage: str, code: str) -> None:
    await release.psa(*everything_known(), generated())
    if stage != "awaiting_release":
        await mark_released(release, stage)
    before = await release.event()
    await release.command(fill(account_id="A-9", auto_pass_to_accounting=True))
    assert await release.event() == before
    (fact,) = await release.facts("refused")
    assert [reason["code"] for reason in fact["reasons"]] == [code]
    assert (fact.key, fact["starter"]) == ("P-1", USER)


async def test_a_hold_is_kept_until_it_is_let_go(release: ReleaseDriver) -> None:
    await release.psa(*everything_known(), generated())
    await release.command(hold(True), hold(True))
    assert (await release.event())["on_hold"] is True
    await release.psa(generated(version=2))
    assert (await release.event())["on_hold"] is True
    await release.command(hold(False))
    assert (await release.event())["on_hold"] is False
    assert words(await release.facts()) == ["registered", "changed", "changed", "changed"]


async def test_a_released_event_is_not_held(release: ReleaseDriver) -> None:
    await release.psa(*everything_known(), generated())
    await mark_released(release)
    await release.command(hold(True), recalculate())
    assert (await release.event())["on_hold"] is False
    refusals = await release.facts("refused")
    assert [fact["reasons"][0]["code"] for fact in refusals] == ["already_released", "already_released"]


async def test_recalculating_copies_what_a_later_record_says(release: ReleaseDriver) -> None:
    await release.psa(
        *everything_known(), generated("BE-1", item(business_record_version=1), item("i2", "1.00"))
    )
    later = business_record(
        version=2,
        amount="120.50",
        quantity="2",
        unit_price="60.25",
        description="Two days",
        services_product="Diving",
    )
    await release.psa(later)
    await release.command(recalculate())
    event = await release.event()
    first, second = event["items"]
    assert (first["amount"], first["quantity"], first["unit_price"]) == ("120.50", "2", "60.25")
    assert (first["description"], first["accounting_line_description"]) == ("Two days", "Two days")
    assert (first["services_product"], first["business_record_version"]) == ("Diving", 2)
    assert second["amount"] == "1.00"
    assert event["summary_amount"] == "121.50"


async def test_recalculating_to_an_amount_that_the_currency_cannot_express_is_refused(
    release: ReleaseDriver,
) -> None:
    await release.psa(*everything_known(), generated("BE-1", item(business_record_version=1)))
    await release.psa(business_record(version=2, amount="0.005"))
    before = await release.event()
    await release.command(recalculate())
    assert await release.event() == before
    (fact,) = await release.facts("refused")
    assert fact["reasons"][0]["code"] == "amount_not_expressible"


async def test_a_redelivered_command_has_no_second_effect(without_account: ReleaseDriver) -> None:
    release = without_account
    record = fill(account_id="A-7")
    await release.command(record)
    await release.command(record, record)
    assert words(await release.facts()) == ["registered", "changed"]
    assert await release.facts("refused") == []


async def test_commands_of_one_batch_act_in_their_order(without_account: ReleaseDriver) -> None:
    release = without_account
    await release.command(fill(account_id="A-1"), hold(True), fill(account_id="A-2"), hold(False))
    event = await release.event()
    assert (event["account_id"], event["on_hold"]) == ("A-1", False)
    assert words(await release.facts()) == ["registered", "changed", "changed", "refused", "changed"]


async def test_a_command_waits_for_its_event(release: ReleaseDriver) -> None:
    await release.command(hold(True), hold(False), fill(auto_pass_to_accounting=True))
    assert await release.facts() == []
    assert await release.commands.take_up_waiting(release.database) is False
    await release.psa(*everything_known(), generated())
    # A later one does not overtake those that wait.
    await release.command(hold(True))
    assert (await release.event())["on_hold"] is False
    assert await release.commands.take_up_waiting(release.database) is True
    event = await release.event()
    assert (event["on_hold"], event["auto_pass_to_accounting"]) == (True, True)
    assert words(await release.facts()) == ["registered"] + ["changed"] * 4
    assert await release.commands.take_up_waiting(release.database) is False


async def test_a_command_whose_event_never_comes_is_refused(release: ReleaseDriver) -> None:
    impatient = ReleaseDriver(release.database, command_wait_seconds=0.0)
    record = hold(True, "BE-404")
    await impatient.command(record)
    assert await impatient.commands.take_up_waiting(release.database) is True
    (fact,) = await release.facts()
    assert (fact["billing_event_id"], fact["reasons"][0]["code"]) == ("BE-404", "not_found")
    assert (fact.key, fact["starter"]) == ("BE-404", USER)
    assert fact.causation_id == dict(record.headers)["ce_id"].decode()
    assert await impatient.commands.take_up_waiting(release.database) is False


async def test_the_companys_own_auto_pass_field_is_set_after_release_by_fill_and_by_psa(
    release: ReleaseDriver,
) -> None:
    await release.psa(*everything_known(), generated(), generated("BE-2"))
    await mark_released(release)
    await release.command(fill(fields={"pass_on": True}))
    assert (await release.event())["fields"] == {}
    told = {"company_id": "C-UK", "version": 1, "auto_pass_field": "pass_on"}
    accounting = BatchProcessor(release.database, accounting_line(), service="release")
    await accounting.take([message_record("accounting.company.settings-changed.v1", told)])
    await release.command(fill(fields={"pass_on": True}))
    await release.psa(generated("BE-2", version=2, fields={"pass_on": "true"}))
    event = await release.event()
    assert (event["fields"], event["filled"]["fields"]) == ({"pass_on": True}, "user")
    assert (await release.event("BE-2"))["fields"] == {"pass_on": "true"}
    changed = await release.facts("changed")
    assert [fact["billing_event"]["fields"] for fact in changed] == [{"pass_on": True}, {"pass_on": "true"}]
