"""Items that a document leaves out: told, billed later by a new event, taken back (documents.md section 3.5)."""

from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from integration.release.driver import Fact, Record, generated, item, project, words
from integration.release.http import Api
from integration.release.releasing import capped_project, release, worth
from integration.release.test_explain import explained
from integration.release.test_rebuilt_ledger import rebuilt, stored_lines
from integration.release.test_write_back import AccountingDriver, revert, validated, withdrawn
from release.handlers.left_out import MoveAsk, move_on_request
from release.store.event_lists import EventFilter, list_event_ids
from release.store.reconciliation import CHECK_NAMES, run_check
from shared.database.database import Database
from shared.database.unit_of_work import NO_CAUSE, UnitOfWork
from sluice.client import CallError
from sluice.commands import move_left_out as command
from sluice.explaining import sentences
from sluice.main import app
from support.cap_ledger import by_total
from unit.shared.http.sample import Issuer

CRITERION = 'category != "expense"'
STARTER = {"user_id": "u2", "email": None}


@pytest.fixture
def driver(store: Database) -> AccountingDriver:
    return AccountingDriver(store)


def left_out(item_id: str, amount: str, billing_event_id: str = "BE-1") -> dict[str, Any]:
    """What a document says of an item that it leaves out."""
    return {
        "billing_event_id": billing_event_id,
        "item_id": item_id,
        "amount": amount,
        "criterion": CRITERION,
    }


def leaving_out(
    *items: dict[str, Any], document_id: str = "D-1", events: tuple[str, ...] = ("BE-1",)
) -> Record:
    """A validated document that leaves out these items."""
    ids = [each["item_id"] for each in items]
    return validated(document_id, *events, excluded_items=ids, left_out_items=list(items))


async def move(driver: AccountingDriver, billing_event_id: str = "BE-1") -> Any:
    """Move what is left out of an event; gives the answer, or the codes of the refusal."""

    async def action(work: UnitOfWork) -> Any:
        return await move_on_request(work, MoveAsk(billing_event_id, STARTER, NO_CAUSE))

    answer = await driver.database.run(action)
    return answer if isinstance(answer, dict) else [reason.code for reason in answer]


async def listed(driver: AccountingDriver, *, is_left_out: bool) -> list[str]:
    wanted = EventFilter(left_out=is_left_out)
    return await list_event_ids(driver.database.pool, wanted, after=None, rows_max=10)


async def check_books(driver: AccountingDriver) -> None:
    async with driver.database.transaction() as work:
        names = [name for name in CHECK_NAMES if name not in {"messages_are_counted", "records_are_counted"}]
        checks = [await run_check(work.connection, name) for name in names]
    assert [check for check in checks if check.differences] == []


def marks(facts: list[Fact]) -> list[tuple[str, bool]]:
    """What PSA is told of records, in order."""
    return [
        (record["record_id"], record["billed"])
        for fact in facts
        if fact.type == "release.business-records.billed.v1"
        for record in fact["records"]
    ]


async def test_what_a_document_leaves_out_is_neither_invoiced_nor_billed(driver: AccountingDriver) -> None:
    await driver.released(capped_project("200.00"), worth("BE-1", "100.00", "20.00"))
    count = len(await driver.facts())
    await driver.accounting(leaving_out(left_out("BE-1-2", "20.00")))
    await driver.accounting(leaving_out(left_out("BE-1-1", "100.00")))

    event = await driver.event()
    assert (event["stage"], event["invoiced"]) == ("invoiced", True)
    states = [
        [item[name] for name in ("released", "invoiced", "billed", "left_out")] for item in event["items"]
    ]
    assert states == [[True, True, True, False], [True, False, False, True]]
    assert event["left_out_criteria"] == {"BE-1-2": CRITERION}
    facts = await driver.since(count)
    assert words(facts) == ["invoiced", "billed", "billed", "left-out"]
    assert facts[0]["left_out_item_ids"] == ["BE-1-2"]
    assert marks(facts) == [("T-BE-1-1", True), ("T-BE-1-2", False)]
    assert (facts[3]["document_id"], facts[3]["left_out"], facts[3]["moved_to"]) == ("D-1", True, None)
    assert facts[3]["items"] == [
        {
            "item_id": "BE-1-2",
            "business_record_id": "T-BE-1-2",
            "amount": "20.00",
            "criterion": CRITERION,
        }
    ]
    assert (await driver.cap()).remaining == 80, "until it is moved it counts as released"
    assert await listed(driver, is_left_out=True) == ["BE-1"]
    await check_books(driver)


async def test_a_record_that_another_item_of_the_event_bills_stays_billed(driver: AccountingDriver) -> None:
    items = [
        item(f"i{place}", amount, business_record_id="T-1", services_product="X")
        for place, amount in enumerate(("10.00", "5.00"), start=1)
    ]
    await driver.released(project(), generated("BE-1", *items))
    count = len(await driver.facts())
    await driver.accounting(leaving_out(left_out("i2", "5.00")))
    assert marks(await driver.since(count)) == [("T-1", True)]


async def test_each_event_of_a_shared_document_has_its_own_left_out_items(driver: AccountingDriver) -> None:
    """Two events may have items of one id: the document leaves out the one of BE-2."""
    same = item("i1", "5.00", business_record_id="T-1", services_product="X")
    other = item("i2", "-50.00", business_record_id="T-2", services_product="X")
    await driver.released(project(), generated("BE-1", same), generated("BE-2", same, other))
    await driver.database.pool.execute("update billing_events set stage = 'released', released_at = now()")
    await driver.accounting(leaving_out(left_out("i1", "5.00", "BE-2"), events=("BE-1", "BE-2")))
    assert await listed(driver, is_left_out=True) == ["BE-2"]
    assert await listed(driver, is_left_out=False) == ["BE-1"]


async def test_a_document_of_an_older_connector_names_left_out_items_alone(driver: AccountingDriver) -> None:
    await driver.released(project(), worth("BE-1", "100.00", "20.00"))
    await driver.accounting(validated("D-1", "BE-1", excluded_items=["BE-1-2", "unknown"]))
    assert (await driver.event())["left_out_criteria"] == {"BE-1-2": ""}


async def test_more_than_a_messages_list_holds_is_told_in_parts(driver: AccountingDriver) -> None:
    await driver.released(project(), worth("BE-1", *["1.00"] * 1_003))
    await driver.finish_jobs()
    count = len(await driver.facts())
    document = leaving_out(*(left_out(f"BE-1-{place}", "1.00") for place in range(1, 1_003)))
    await driver.accounting(document)
    facts = await driver.since(count)
    assert words(facts) == ["invoiced", "invoiced", "billed", "billed", "left-out", "left-out"]
    assert [(fact["part"], len(fact["left_out_item_ids"])) for fact in facts[:2]] == [(1, 1_000), (2, 2)]
    assert [(fact["parts"], len(fact["items"])) for fact in facts[4:]] == [(2, 1_000), (2, 2)]


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("late", [False, True])
async def test_a_mirror_takes_back_what_was_left_out(
    driver: AccountingDriver, moved: bool, late: bool
) -> None:
    """Also where the document comes only while the event is reverting, or its items are in a new event by then."""
    await driver.released(capped_project("120.00"), worth("BE-1", "100.00", "20.00"))
    document = leaving_out(left_out("BE-1-2", "20.00"))
    await driver.accounting(*([] if late else [document]))
    if moved and not late:
        await move(driver)
    await driver.command(revert(cascade=True))
    await driver.accounting(*([document] if late else []))
    assert await driver.stage("BE-1") == "reverting"
    count = len(await driver.facts())
    await driver.accounting(withdrawn(outcome="mirrored"), document)

    facts = await driver.since(count)
    event = await driver.event()
    assert (event["stage"], event["left_out_criteria"]) == ("reverted", {})
    assert not any(each["left_out"] for each in event["items"])
    taken_back = [fact for fact in facts if fact.type == "release.billing-event.left-out.v1"]
    assert [fact["left_out"] for fact in taken_back] == ([] if moved and not late else [False])
    assert marks(facts) == [("T-BE-1-1", False)], "what was left out was given back before"
    assert (await driver.cap()).remaining == 120
    if moved and not late:
        assert await driver.stage("BE-1.2") == "deleted"
    await check_books(driver)


async def test_a_document_that_comes_after_the_withdrawal_leaves_nothing_out(
    driver: AccountingDriver,
) -> None:
    await driver.released(project(), worth("BE-1", "100.00", "20.00"))
    await driver.command(revert())
    await driver.accounting(withdrawn(), leaving_out(left_out("BE-1-2", "20.00")))
    assert (await driver.event())["stage"] == "reverted"
    assert [fact for fact in await driver.facts() if fact.type.endswith("left-out.v1")] == []


@pytest.mark.parametrize(
    ("amounts", "budget_id", "remaining"),
    [(("100.00", "20.00"), None, (80, 100)), (("-100.00", "-20.00"), "B-1", (320, 300))],
)
async def test_what_is_left_out_is_moved_to_a_new_event_and_given_back_to_the_cap(
    driver: AccountingDriver, amounts: tuple[str, str], budget_id: str | None, remaining: tuple[int, int]
) -> None:
    items = [
        item(f"i{place}", amount, business_record_id=f"T-{place}", budget_id=budget_id, services_product="X")
        for place, amount in enumerate(amounts, start=1)
    ]
    budgets = [{"budget_id": "B-1", "amount": "100.00"}]
    await driver.released(
        capped_project("200.00", budgets=budgets),
        generated("BE-1", *items, customer_reference="PO 1", corrects_billing_event_id="BE-0"),
    )
    await driver.accounting(leaving_out(left_out("i2", amounts[1])))
    assert (await driver.cap()).remaining == remaining[0]
    count = len(await driver.facts())

    assert await move(driver) == {
        "billing_event_id": "BE-1",
        "new_billing_event_id": "BE-1.2",
        "moved_item_ids": ["i2"],
        "amount": amounts[1],
        "currency": "GBP",
    }
    facts = await driver.since(count)
    assert words(facts) == ["left-out", "changed", "registered"]
    assert (facts[0]["left_out"], facts[0]["moved_to"]) == (False, "BE-1.2")
    assert (await driver.cap()).remaining == remaining[1]
    origin, made = await driver.event("BE-1"), await driver.event("BE-1.2")
    assert (origin["stage"], origin["summary_amount"], origin["left_out_criteria"]) == (
        "invoiced",
        amounts[0],
        {},
    )
    assert (made["stage"], made["version"], made["summary_amount"]) == ("awaiting_release", 1, amounts[1])
    assert (made["origin_id"], made["root_id"], made["made_by_cap"]) == ("BE-1", "BE-1", False)
    assert (origin["corrects_billing_event_id"], made["corrects_billing_event_id"]) == ("BE-0", None)
    assert (made["customer_reference"], made["account_id"], made["document_id"]) == ("PO 1", "A-1", None)
    assert [(each["item_id"], each["left_out"]) for each in made["items"]] == [("i2", False)]
    rows = await driver.database.pool.fetch("select act, budget_id, amount from cap_ledger order by entry_id")
    taken, given_back = Decimal(amounts[0]) + Decimal(amounts[1]), -Decimal(amounts[1])
    levels = [None] if budget_id is None else [None, budget_id]
    assert [tuple(row) for row in rows] == [
        *(("release", level, taken) for level in levels),
        *(("move", level, given_back) for level in levels),
    ]
    await check_books(driver)
    assert await move(driver) == ["nothing_left_out"]

    await driver.command(release("BE-1.2"))
    assert await driver.stage("BE-1.2") == "released"
    assert (await driver.cap()).remaining == remaining[0]
    await driver.accounting(leaving_out(left_out("i2", amounts[1]), document_id="D-9", events=("BE-1",)))
    assert await listed(driver, is_left_out=True) == [], "a document that comes again changes nothing"
    await check_books(driver)

    await driver.command(revert(cascade=True))
    await driver.accounting(withdrawn("BE-1"), withdrawn("BE-1.2"))
    assert (await driver.cap()).remaining == 200
    assert by_total((await rebuilt(driver)).lines) == by_total(await stored_lines(driver))
    await check_books(driver)


async def test_the_next_free_id_of_the_lineage_is_taken(driver: AccountingDriver) -> None:
    await driver.released(capped_project("120.00"), worth("BE-1", "100.00", "20.00", "30.00"), on_cap="split")
    await driver.accounting(leaving_out(left_out("BE-1-2", "20.00")))
    assert (await move(driver))["new_billing_event_id"] == "BE-1.3"


async def test_a_left_out_credit_whose_room_was_billed_is_not_moved(driver: AccountingDriver) -> None:
    """Giving it back would pass the cap: 150 and -50 are released of 100, and nothing is left."""
    await driver.released(capped_project("100.00"), worth("BE-1", "150.00", "-50.00"))
    await driver.accounting(leaving_out(left_out("BE-1-2", "-50.00")))
    assert await move(driver) == ["cap_exceeded"]
    assert (await driver.event())["left_out_criteria"] == {"BE-1-2": CRITERION}
    await check_books(driver)


async def test_only_what_a_document_leaves_out_is_moved(driver: AccountingDriver) -> None:
    await driver.know(project(), worth("BE-1", "100.00", "20.00"))
    assert await move(driver, "BE-9") == ["not_found"]
    await driver.psa(worth("BE-2", "1.00", project_id="P-unknown"))
    assert await move(driver, "BE-2") == ["not_invoiced"]
    assert await move(driver) == ["not_invoiced"]
    await driver.command(release())
    assert await move(driver) == ["not_invoiced"]
    await driver.accounting(leaving_out(left_out("BE-1-2", "20.00")))
    await driver.command(revert())
    assert await move(driver) == ["reverting"]
    await driver.accounting(withdrawn())
    assert await move(driver) == ["reverted"]


async def test_the_call_that_moves(store: Database, issuer: Issuer) -> None:
    api = Api(store, issuer)
    driver = AccountingDriver(store)
    await driver.released(project(), worth("BE-1", "100.00", "20.00"))
    await driver.accounting(leaving_out(left_out("BE-1-2", "20.00")))
    path = "/billing-events/BE-1/move-left-out"
    async with (
        api.client() as client,
        api.client("billing-events:read") as reader,
        api.client(projects=["P-9"]) as elsewhere,
    ):
        shown = [
            [each["billing_event_id"] for each in answer.json()["items"]]
            for answer in (
                await client.get("/billing-events", params={"left_out": "true"}),
                await client.get("/billing-events", params={"left_out": "false"}),
            )
        ]
        refusals = [
            (answer.status_code, answer.json()["code"])
            for answer in (
                await reader.post(path),
                await elsewhere.post(path),
                await client.post("/billing-events/BE-9/move-left-out"),
            )
        ]
        key = {"Idempotency-Key": "k1"}
        answers = [await client.post(path, headers=key), await client.post(path, headers=key)]
        again = await client.post(path)
    assert shown == [["BE-1"], []]
    assert refusals == [(403, "scope_missing"), (409, "not_permitted"), (404, "not_found")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["new_billing_event_id"] == "BE-1.2"
    assert (again.status_code, again.json()["code"]) == (409, "nothing_left_out")


async def test_where_a_moved_item_came_from_is_explained(api: Api, driver: AccountingDriver) -> None:
    await driver.released(project(), worth("BE-1", "100.00", "20.00"))
    await driver.accounting(leaving_out(left_out("BE-1-2", "20.00")))
    await move(driver)
    told = await explained(api, "BE-1.2", "BE-1")
    assert told["came_from"]["billing_event_id"] == "BE-1"
    assert told["came_from"]["rule"] == "left_out_moved"
    assert any("moved here from BE-1" in line for line in sentences(told))


async def test_the_command_that_moves(
    api: Api, driver: AccountingDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await driver.released(project(), worth("BE-1", "100.00", "20.00", "5.00"))
    await driver.accounting(leaving_out(left_out("BE-1-2", "20.00"), left_out("BE-1-3", "5.00")))
    answer = await move(driver)
    monkeypatch.setattr(command, "connect", lambda *_: Service(answer))
    done = CliRunner().invoke(app, ["move-left-out", "BE-1"])
    assert (done.exit_code, done.output) == (0, "2 items, 25.00 GBP, moved to BE-1.2\n")
    monkeypatch.setattr(command, "connect", lambda *_: Service(None))
    assert CliRunner().invoke(app, ["move-left-out", "BE-1"]).exit_code == 1


class Service:
    """Answers the command as the service did."""

    def __init__(self, answer: dict[str, Any] | None) -> None:
        self._answer = answer

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def post(self, path: str, _body: object) -> dict[str, Any]:
        assert path == "/billing-events/BE-1/move-left-out"
        if self._answer is None:
            raise CallError("POST: 409 nothing_left_out")
        return self._answer
