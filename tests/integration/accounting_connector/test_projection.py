"""What the connector keeps of what others tell: the newest account and company, the stage of an event."""

import pytest

from integration.accounting_connector.driver import (
    ConnectorDriver,
    account,
    changed,
    codes,
    company,
    event,
    event_fact,
    registered,
    released,
    start_ids,
)


async def test_the_newest_version_of_a_party_is_kept(connector: ConnectorDriver) -> None:
    await connector.reference(account(version=3, name="Third"), account(version=2, name="Second"))
    await connector.reference(account(version=1, name="First"), company(version=2, name="New Ltd"))
    await connector.reference(company(version=1, name="Old Ltd"))
    await connector.release(released(event(auto_pass_to_accounting=True)))
    (document,) = await connector.facts("validated")
    assert (document["account"]["name"], document["company"]["name"]) == ("Third", "New Ltd")


async def test_a_company_without_a_country_in_its_address_has_its_own(connector: ConnectorDriver) -> None:
    await connector.release(released(event(auto_pass_to_accounting=True)))
    (document,) = await connector.facts("validated")
    assert document["company"]["address"]["country"] == "GB"


async def test_a_document_keeps_the_parties_as_they_were(connector: ConnectorDriver) -> None:
    await connector.release(released(event(auto_pass_to_accounting=True)))
    await connector.reference(account(version=2, name="Renamed"))
    row = await connector.database.pool.fetchrow("select account from documents")
    assert row is not None
    assert row["account"]["name"] == "Port Authority"


@pytest.mark.parametrize(
    ("what", "code"), [("reverted", "not_released"), ("closed", "closed"), ("deleted", "not_released")]
)
async def test_an_event_that_is_over_gets_no_document(
    connector: ConnectorDriver, what: str, code: str
) -> None:
    body = event(auto_pass_to_accounting=True)
    # In one batch, so that the order within it counts.
    await connector.release(
        registered(event(stage="awaiting_release")), released(body), event_fact(what, "BE-1")
    )
    await connector.command(start_ids("PR-1", "BE-1"))
    await connector.settle()
    (not_passed,) = await connector.facts("not-passed")
    assert codes(not_passed["reasons"]) == [code]
    assert await connector.facts("validated") == []


async def test_a_stage_told_later_goes_before_an_earlier_one(connector: ConnectorDriver) -> None:
    await connector.release(event_fact("closed", "BE-1"))
    await connector.release(changed(event(stage="reverting")), released(event("BE-1")))
    await connector.command(start_ids("PR-1", "BE-1"))
    await connector.settle()
    assert len(await connector.facts("validated")) == 1


async def test_what_cannot_be_read_is_put_aside_and_the_rest_is_taken(connector: ConnectorDriver) -> None:
    broken = event("BE-1", auto_pass_to_accounting=True)
    broken["items"][0]["amount"] = "100.005"
    await connector.release(released(broken), released(event("BE-2", auto_pass_to_accounting=True)))
    assert len(await connector.dead_letters()) == 1
    assert [each["billing_event_ids"] for each in await connector.facts("validated")] == [["BE-2"]]
