"""`sluice explain`: why each item was released, moved or refused (domain.md section 3, "Never over")."""

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from integration.release.driver import generated, item, project
from integration.release.http import Api
from integration.release.releasing import capped_project, release, worth
from integration.release.test_write_back import AccountingDriver, revert, withdrawn
from sluice.client import CallError
from sluice.commands import explain as command
from sluice.explaining import explanation
from sluice.main import app


class Answers:
    """What the command asks the service for, answered from what the service said before."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def get(self, path: str) -> Any:
        if path not in self._answers:
            raise CallError(f"GET {path}: 404 not_found")
        return self._answers[path]

    def items(self, path: str, query: dict[str, Any], *, items_max: int) -> list[Any]:
        found: list[Any] = self._answers[path]["items"]
        wanted = query.get("billing_event_id")
        return [each for each in found if wanted is None or each["billing_event_id"] == wanted]


async def answers(client: httpx.AsyncClient, *billing_event_ids: str) -> dict[str, Any]:
    """The service's answers about these events of project P-1."""
    paths = ["/projects/P-1/cap/ledger"]
    for each in billing_event_ids:
        paths += [f"/billing-events/{each}", f"/billing-events/{each}/history"]
    found = {}
    for path in paths:
        answer = await client.get(path)
        assert answer.status_code == 200, path
        found[path] = answer.json()
    return found


async def explained(api: Api, billing_event_id: str, origin_id: str | None = None) -> dict[str, Any]:
    """What the command makes of an event."""
    async with api.client() as client:
        found = await answers(client, billing_event_id, *([origin_id] if origin_id else []))
    ledger = found["/projects/P-1/cap/ledger"]["items"]
    return explanation(
        event=found[f"/billing-events/{billing_event_id}"],
        history=found[f"/billing-events/{billing_event_id}/history"]["items"],
        ledger=[line for line in ledger if line["billing_event_id"] == billing_event_id],
        origin_history=found[f"/billing-events/{origin_id}/history"]["items"] if origin_id else [],
    )


ADJUSTED = "20.00 was left of budget B-1: released in full with an adjustment of -30.00, which the new event carries on"


def outcomes(decision: dict[str, Any]) -> list[tuple[str, str | None, str, str]]:
    return [
        (each["item_id"], each["left_before"], each["outcome"], each["because"]) for each in decision["items"]
    ]


async def test_first_fit_is_explained_item_by_item(api: Api) -> None:
    await api.driver.know(capped_project("300.00"), worth("BE-1", "100.00", "150.00", "140.00"))
    await api.driver.command(release())
    await api.driver.command(release(on_cap="split", requested_by={"user_id": "u1", "email": None}))
    told = await explained(api, "BE-1")
    refused, split = told["decisions"]
    assert [reason["code"] for reason in refused["reasons"]] == ["split_required"]
    assert outcomes(refused)[2] == (
        "BE-1-3",
        "50.00",
        "refused",
        "a split would have moved it: 140.00 is more than the 50.00 left of the bookings",
    )
    assert (split["what"], split["rule"], split["actor"]) == ("split", "first_fit", "u1")
    assert split["order"] == "created_at, item_id"
    assert (split["numbers"]["remaining_before"], split["numbers"]["remaining_after"]) == ("300.00", "50.00")
    assert outcomes(split) == [
        ("BE-1-1", "300.00", "released", "100.00 is not more than the 300.00 left of the bookings"),
        ("BE-1-2", "200.00", "released", "150.00 is not more than the 200.00 left of the bookings"),
        ("BE-1-3", "50.00", "moved", "140.00 is more than the 50.00 left of the bookings"),
    ]
    assert split["new_billing_event_id"] == "BE-1.2"
    assert [(line["act"], line["amount"]) for line in told["ledger"]] == [("release", "250.00")]

    moved = await explained(api, "BE-1.2", "BE-1")
    assert moved["decisions"] == []
    assert moved["came_from"]["billing_event_id"] == "BE-1"
    assert [each["item_id"] for each in moved["came_from"]["items"]] == ["BE-1-3"]


async def test_optimisation_is_explained_with_its_budget_and_overage(api: Api) -> None:
    budgets = [{"budget_id": "B-1", "amount": "100.00", "apply_billing_cap": True}]
    items = [
        item("i1", "80.00", budget_id="B-1", services_product="X"),
        item("i2", "50.00", budget_id="B-1", services_product="X"),
        item("i3", "10.00", budget_id="B-1", services_product="X"),
        item("i4", "-5.00", budget_id="B-1", services_product="X"),
        item("i5", "7.00", services_product="X"),
    ]
    await api.driver.know(project(budgets=budgets), generated("BE-1", *items))
    await api.driver.command(release(on_cap="split"))
    told = await explained(api, "BE-1")
    (split,) = told["decisions"]
    assert split["rule"] == "bill_to_budget_cap"
    assert outcomes(split) == [
        ("i1", "100.00", "released", "80.00 is not more than the 100.00 left of budget B-1"),
        (
            "i2",
            "20.00",
            "released_with_adjustment",
            ADJUSTED,
        ),
        ("i3", "0.00", "moved", "10.00 is more than the 0.00 left of budget B-1"),
        ("i4", "0.00", "released", "a credit always fits, and makes room for those after it"),
        ("i5", None, "released", "no budget that is over stands against it"),
    ]
    assert [(line["budget_id"], line["amount"]) for line in told["ledger"]] == [
        (None, "102.00"),
        ("B-1", "95.00"),
    ]
    came = (await explained(api, "BE-1.2", "BE-1"))["came_from"]
    assert [(each["item_id"], each["overage"]) for each in came["items"]] == [("i2", "30.00"), ("i3", None)]


async def test_event_refused_or_released_as_a_whole_says_so_of_each_item(api: Api) -> None:
    await api.driver.know(capped_project("10.00"), worth("BE-1", "20.00", "30.00"), worth("BE-2", "-1.00"))
    await api.driver.command(release("BE-1"), release("BE-2"))
    (refused,) = (await explained(api, "BE-1"))["decisions"]
    assert {each["outcome"] for each in refused["items"]} == {"refused"}
    assert refused["reasons"][0]["code"] == "no_item_fits"
    (whole,) = (await explained(api, "BE-2"))["decisions"]
    assert outcomes(whole) == [
        ("BE-2-1", None, "released", "with the whole event: what sums to 0 or less always fits")
    ]
    await api.driver.command(release("BE-2"))
    first, second = (await explained(api, "BE-2"))["decisions"]
    assert first["items"] == []
    assert second["because"] == "Billing event BE-2 is already released."
    assert {each["because"] for each in second["items"]} == {"with the whole event: already_released"}


async def test_reverted_event_shows_both_lines_of_the_ledger(api: Api) -> None:
    driver = AccountingDriver(api.driver.database)
    await driver.released(project(), worth("BE-1", "5.00"))
    await driver.command(revert())
    await driver.accounting(withdrawn())
    told = await explained(api, "BE-1")
    assert [(line["act"], line["amount"], line["released_after"]) for line in told["ledger"]] == [
        ("release", "5.00", "5.00"),
        ("revert", "-5.00", "0.00"),
    ]


async def test_ledger_can_be_asked_for_one_event(api: Api) -> None:
    await api.driver.know(project(), worth("BE-1", "5.00"), worth("BE-2", "6.00"))
    await api.driver.command(release("BE-1"), release("BE-2"))
    async with api.client() as client:
        answer = await client.get("/projects/P-1/cap/ledger", params={"billing_event_id": "BE-2"})
        none = await client.get("/projects/P-1/cap/ledger", params={"billing_event_id": "BE-9"})
    assert [line["amount"] for line in answer.json()["items"]] == ["6.00"]
    assert none.json()["items"] == []


async def test_command_tells_people_and_machines(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.driver.know(capped_project("300.00"), worth("BE-1", "100.00", "150.00", "140.00"))
    await api.driver.command(release(on_cap="split"))
    async with api.client() as client:
        found = await answers(client, "BE-1", "BE-1.2")
    monkeypatch.setattr(command, "connect", lambda *_: Answers(found))
    runner = CliRunner()
    people = runner.invoke(app, ["explain", "BE-1"])
    new_event = runner.invoke(app, ["explain", "BE-1.2"])
    machines = runner.invoke(app, ["explain", "BE-1", "--json"])
    unknown = runner.invoke(app, ["explain", "BE-9"])
    assert people.exit_code == 0, people.output
    for words in (
        "split by a process",
        "140.00 is more than the 50.00 left of the bookings",
        "remaining 300.00 before, 50.00 after",
        "What did not fit is in BE-1.2",
        "On the ledger",
    ):
        assert words in people.output
    assert "were moved here from BE-1" in new_event.output
    assert json.loads(machines.output)["decisions"][0]["rule"] == "first_fit"
    assert unknown.exit_code == 1
