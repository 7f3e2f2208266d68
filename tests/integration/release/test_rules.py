"""Rules of domain.md section 3 that only show over the whole service; docs/rules.md names the other tests."""

from integration.release.driver import project
from integration.release.http import Api
from integration.release.releasing import capped_project, worth


async def test_confirmed_split_is_decided_anew(api: Api) -> None:
    """Between the offer and the click bookings rise, then fall: what is done is what fits then."""
    await api.driver.know(
        capped_project("100.00"), worth("BE-1", "60.00", "50.00", "40.00"), worth("BE-2", "5.00", "20.00")
    )
    async with api.client() as client:
        offer = await client.post("/billing-events/BE-1/release", json={})
        await api.driver.know(capped_project("110.00", version=2))
        done = await client.post("/billing-events/BE-1/release", json={"on_cap": "split"})
        offered_nothing = await client.post("/billing-events/BE-2/release", json={"on_cap": "split"})
        await api.driver.know(capped_project("135.00", version=3))
        whole = await client.post("/billing-events/BE-2/release", json={"on_cap": "split"})
    assert offer.json()["preview"]["released_item_ids"] == ["BE-1-1", "BE-1-3"]
    assert (done.status_code, done.json()["released_item_ids"]) == (200, ["BE-1-1", "BE-1-2"])
    assert offered_nothing.json()["code"] == "no_item_fits"
    assert (whole.status_code, whole.json()["outcome"]) == (200, "released")


async def test_project_capped_at_both_levels_is_shown_as_such(api: Api) -> None:
    budgets = [{"budget_id": "B-1", "amount": "100.00", "apply_billing_cap": True}]
    await api.driver.know(
        capped_project("10.00", budgets=budgets), worth("BE-1", "1.00"), project("P-2", budgets=budgets)
    )
    async with api.client() as client:
        caps = [(await client.get(f"/projects/{each}/cap")).json() for each in ("P-1", "P-2")]
        event = (await client.get("/billing-events/BE-1")).json()
        refused = await client.post("/billing-events/BE-1/release", json={"on_cap": "split"})
    assert [cap["conflict"] for cap in caps] == [True, False]
    assert event["conflict"] is True
    assert (refused.status_code, refused.json()["code"]) == (409, "cap_configuration_conflict")
