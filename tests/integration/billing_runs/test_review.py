"""Rules, review, quarantine and what a run does by itself with bad drafts (domain.md section 5)."""

from typing import Any

import httpx
import pytest

from billing_runs.handlers import review as reviewing
from integration.billing_runs.driver import Connector, Runs, command, counted, create, event, review
from shared.database.database import Database

RULE: dict[str, Any] = {
    "kind": None,
    "priority": 10,
    "active_from": None,
    "active_to": None,
    "fail_status": "rejected",
    "mode": "validation",
    "expression": "total_net <= 100",
    "combine": None,
    "children": [],
    "message": "too large",
}


async def _drafts(runs: Runs, **settings: Any) -> None:
    """Documents of 100, 200 and 300."""
    await runs.know(event("BE-1", "100.00"), event("BE-2", "200.00"), event("BE-3", "300.00"))
    await runs.command(create(**settings))
    for _ in range(2):
        await runs.command(command("process"))
        await runs.settle()


async def _rule(client: httpx.AsyncClient, code: str = "LIMIT", **fields: Any) -> None:
    answer = await client.put(f"/rules/{code}", json=RULE | fields)
    assert answer.status_code == 200, answer.text


async def _review(client: httpx.AsyncClient, run_id: str = "R-1", **body: Any) -> dict[str, tuple[str, Any]]:
    answer = await client.post(f"/billing-runs/{run_id}/documents/review", json=body)
    assert answer.status_code == 200, answer.text
    return {each["document_id"]: (each["result"], each["code"]) for each in answer.json()["results"]}


async def test_rules_reject_drafts_and_acceptance_overrides_the_finding(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    await _rule(client)
    await _drafts(runs)
    assert await runs.state() == ("rejected", "idle")
    assert await runs.reviews() == {"D-BE-1": "draft", "D-BE-2": "rejected", "D-BE-3": "rejected"}
    told = {each["document_id"]: each for each in await runs.facts("document.reviewed")}
    assert told["D-BE-2"]["findings"] == [
        {"rule": "LIMIT", "outcome": "rejected", "message": "too large", "overridden": False, "version": 1}
    ]

    selected = {"document_ids": ["D-BE-1", "D-BE-2", "D-9"]}
    assert await _review(client, action="accept", select=selected) == {
        "D-BE-1": ("refused", "action_not_available"),
        "D-BE-2": ("done", None),
        "D-9": ("refused", "not_found"),
    }
    assert await runs.state() == ("rejected", "idle")
    assert await _review(
        client, action="accept", select={"filter": {"rule": "LIMIT", "review": "rejected"}}
    ) == {"D-BE-3": ("done", None)}
    assert await runs.state() == ("draft_invoices", "idle")
    listed = await client.get("/billing-runs/R-1/documents", params={"rule": "LIMIT"})
    assert [each["findings"][0]["overridden"] for each in listed.json()["items"]] == [True, True]


async def test_validating_runs_the_rules_again_for_rule_rejected_documents_only(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    await _rule(client)
    await _drafts(runs)
    await _review(client, action="reject", select={"document_ids": ["D-BE-3"]}, reason="wrong address")
    await _rule(client, expression="total_net <= 1000")

    await runs.command(command("process"))
    await runs.settle()

    assert await runs.state() == ("rejected", "idle")
    assert await runs.reviews() == {"D-BE-1": "validated", "D-BE-2": "validated", "D-BE-3": "rejected"}
    await runs.check_books()


async def test_many_documents_are_decided_on_in_chunks_and_answered_in_order(
    runs: Runs, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviewing, "CHUNK_DECIDED", 2)
    await _drafts(runs)
    selected = {"document_ids": ["D-BE-3", "D-9", "D-BE-1", "D-BE-2", "D-BE-3"]}

    answered = await _review(client, action="quarantine", select=selected)

    assert list(answered.items()) == [
        ("D-BE-3", ("done", None)),
        ("D-9", ("refused", "not_found")),
        ("D-BE-1", ("done", None)),
        ("D-BE-2", ("done", None)),
    ]
    assert await runs.reviews("R-1.quarantine") == dict.fromkeys(("D-BE-1", "D-BE-2", "D-BE-3"), "draft")
    assert await runs.state() == ("validated", "idle")
    assert len(await runs.facts("document.reviewed")) == 6
    await runs.check_books("R-1", "R-1.quarantine")


async def test_recheck_judges_anew(runs: Runs, client: httpx.AsyncClient) -> None:
    await _drafts(runs)
    await _rule(client, fail_status="suspect")

    assert counted(
        result for result, _ in (await _review(client, action="recheck", select={"filter": {}})).values()
    ) == {"done": 3}

    assert await runs.reviews() == {"D-BE-1": "draft", "D-BE-2": "suspect", "D-BE-3": "suspect"}
    assert await runs.state() == ("draft_invoices", "idle")


async def test_validate_and_cancel_of_documents_are_queued(
    runs: Runs, client: httpx.AsyncClient, connector: Connector
) -> None:
    await _drafts(runs)

    assert await _review(client, action="validate", select={"document_ids": ["D-BE-1"]}) == {
        "D-BE-1": ("queued", None)
    }
    assert await _review(
        client, action="cancel", billing_events="cancel", select={"document_ids": ["D-BE-2"]}
    ) == {"D-BE-2": ("queued", None)}
    assert await _review(client, action="reject", reason="no", select={"document_ids": ["D-BE-1"]}) == {
        "D-BE-1": ("refused", "action_not_available")
    }
    await runs.settle()
    assert await runs.reviews() == {"D-BE-1": "validated", "D-BE-2": "cancelled", "D-BE-3": "draft"}
    assert await runs.fates() == {"BE-1": "validated", "BE-2": "cancelled", "BE-3": "draft"}

    await _review(client, action="validate", select={"filter": {"review": "draft"}})
    await runs.settle()
    assert await runs.state() == ("validated", "idle")
    assert connector.numbers == 2
    await runs.check_books()


async def test_a_queued_action_is_asked_in_the_name_of_whoever_reviewed(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    await _drafts(runs)
    reviewer = {"user_id": "u2", "email": "u2@example.com"}
    select = {"document_ids": ["D-BE-1"]}
    await runs.command(review("validate", select=select, requested_by=reviewer, message_id="m-9"))
    await _review(client, action="validate", select={"document_ids": ["D-BE-2"]})
    await runs.work()

    by_hand, by_call = sorted(
        await runs.take_published("accounting."), key=lambda each: each.body["document_ids"]
    )
    assert (by_hand.body["requested_by"], by_hand.correlation_id) == (reviewer, "m-9")
    assert by_call.body["document_ids"] == ["D-BE-2"]
    assert by_call.body["requested_by"]["user_id"] == "u1"
    assert by_call.correlation_id not in {None, "m-9"}


async def test_queued_actions_wait_for_the_running_step(runs: Runs, client: httpx.AsyncClient) -> None:
    await _drafts(runs)
    await runs.command(command("render", format="xml"))
    await runs.work()
    renders = await runs.take_published("accounting.")

    await _review(client, action="validate", select={"document_ids": ["D-BE-1"]})
    await runs.work()
    assert await runs.take_published("accounting.") == []

    await runs.accounting_facts(*runs.connector.answer(renders))
    await runs.settle()
    assert (await runs.reviews())["D-BE-1"] == "validated"


async def test_a_disabled_run_refuses_to_validate_documents(runs: Runs, client: httpx.AsyncClient) -> None:
    await _drafts(runs)
    await runs.command(command("disable"))

    assert await _review(client, action="validate", select={"document_ids": ["D-BE-1"]}) == {
        "D-BE-1": ("refused", "run_disabled")
    }


async def test_quarantine_moves_documents_to_one_linked_run(runs: Runs, client: httpx.AsyncClient) -> None:
    await _rule(client)
    await _drafts(runs)
    await _review(client, action="quarantine", select={"document_ids": ["D-BE-2"]})
    assert await runs.state() == ("rejected", "idle")
    await _review(client, action="quarantine", select={"document_ids": ["D-BE-3"]})
    assert await runs.state() == ("draft_invoices", "idle")

    origin = (await client.get("/billing-runs/R-1")).json()
    quarantine_id = origin["quarantine_run_id"]
    quarantine = (await client.get(f"/billing-runs/{quarantine_id}")).json()
    assert (quarantine["status"], quarantine["process_type"]) == ("rejected", "manual")
    assert quarantine["quarantine_of"] == "R-1"
    assert await runs.reviews(quarantine_id) == {"D-BE-2": "rejected", "D-BE-3": "rejected"}
    assert await _review(client, quarantine_id, action="quarantine", select={"document_ids": ["D-BE-2"]}) == {
        "D-BE-2": ("refused", "action_not_available")
    }
    await runs.check_books("R-1", quarantine_id)

    await runs.command(command("process"))
    await runs.settle()
    assert await runs.state() == ("validated", "idle")
    await _review(client, quarantine_id, action="accept", select={"filter": {}})
    await runs.command(command("process", quarantine_id))
    await runs.settle()
    assert await runs.state(quarantine_id) == ("validated", "idle")
    await runs.check_books("R-1", quarantine_id)


async def test_a_quarantine_run_begins_rejected_and_follows_what_is_moved_into_it(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    await _drafts(runs)
    await _review(client, action="quarantine", select={"document_ids": ["D-BE-1"]})
    assert await runs.state("R-1.quarantine") == ("rejected", "idle")
    [told] = [each for each in await runs.facts("run.status-changed") if each["run_id"] == "R-1.quarantine"]
    assert (told["status"], told["previous_status"], told["documents"]["draft"]) == ("rejected", None, 1)

    await _review(client, action="quarantine", select={"document_ids": ["D-BE-2"]})
    assert await runs.state("R-1.quarantine") == ("draft_invoices", "idle")
    await runs.command(command("process", "R-1.quarantine"))
    await runs.settle()
    assert await runs.state("R-1.quarantine") == ("validated", "idle")

    await _review(client, action="quarantine", select={"document_ids": ["D-BE-3"]})
    assert await runs.state("R-1.quarantine") == ("draft_invoices", "idle")
    assert await runs.state() == ("validated", "idle")
    await runs.check_books("R-1", "R-1.quarantine")


async def test_a_run_leaves_what_a_user_has_rejected_to_the_user(runs: Runs, connector: Connector) -> None:
    """Documents can be reviewed while the drafts are still being made."""
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create(on_rejected="cancel"), command("process"))
    await runs.settle()
    await runs.command(command("process"))
    await runs.work()
    *drafted, completed = connector.answer(await runs.take_published("accounting."))
    await runs.accounting_facts(*drafted)
    await runs.command(review("reject", select={"document_ids": ["D-BE-1"]}, reason="wrong address"))

    await runs.accounting_facts(completed)
    await runs.settle()

    assert await runs.reviews() == {"D-BE-1": "rejected", "D-BE-2": "draft"}
    assert await runs.state() == ("rejected", "idle")


@pytest.mark.parametrize("verdict", ["rejected", "suspect"])
@pytest.mark.parametrize("wish", ["manual_action", "cancel", "move"])
async def test_a_run_acts_by_itself_on_what_the_rules_find(
    runs: Runs, client: httpx.AsyncClient, connector: Connector, verdict: str, wish: str
) -> None:
    await _rule(client, fail_status=verdict)
    await _drafts(runs, **{f"on_{verdict}": wish})

    bad = {"D-BE-2": verdict, "D-BE-3": verdict}
    in_run = {"manual_action": bad, "cancel": dict.fromkeys(bad, "cancelled"), "move": {}}[wish]
    assert await runs.reviews() == {"D-BE-1": "draft", **in_run}
    fate = {"manual_action": "draft", "cancel": "reopened", "move": None}[wish]
    assert (await runs.fates()).get("BE-2") == fate
    blocks = (verdict, wish) == ("rejected", "manual_action")
    assert await runs.state() == ("rejected" if blocks else "draft_invoices", "idle")
    assert ("BE-2" in connector.claims) == (wish != "cancel")
    await runs.check_books()
    if wish == "move":
        assert await runs.reviews("R-1.quarantine") == bad
        await runs.check_books("R-1.quarantine")


async def test_a_rule_is_active_by_the_day_that_the_document_bears(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    always: dict[str, Any] = {"expression": "total_net < 0", "fail_status": "suspect"}
    await _rule(client, "BEFORE", active_to="2026-11-29", **always)
    await _rule(client, "ON", active_from="2026-11-30", active_to="2026-11-30", **always)
    await _rule(client, "AFTER", active_from="2026-12-01", **always)
    await runs.know(event("BE-1"))
    await runs.command(create(invoice_date="2026-11-30", process_type="automatic"), command("process"))
    await runs.settle()

    [shown] = (await client.get("/billing-runs/R-1/documents")).json()["items"]
    assert [finding["rule"] for finding in shown["findings"]] == ["ON"]


async def test_a_run_that_skips_the_rules_finds_nothing(runs: Runs, client: httpx.AsyncClient) -> None:
    await _rule(client)
    await _drafts(runs, skip_validation_rules=True)
    assert set((await runs.reviews()).values()) == {"draft"}

    await _review(client, action="recheck", select={"filter": {}})

    assert set((await runs.reviews()).values()) == {"draft"}


async def test_full_automatic_goes_to_the_end_and_automatic_to_drafts(runs: Runs) -> None:
    await runs.know(event("BE-1"), event("BE-2", project_id="P-2"))
    await runs.command(
        create(process_type="full_automatic"),
        create("R-2", process_type="automatic", scope={"filter": {"project_id": "P-2"}}),
        command("process"),
        command("process", "R-2"),
    )
    await runs.settle()

    assert await runs.state() == ("validated", "idle")
    assert await runs.state("R-2") == ("draft_invoices", "idle")
    reached = [each["status"] for each in await runs.facts("run.status-changed") if each["run_id"] == "R-1"]
    assert reached == [
        "creating_invoice_lines",
        "invoice_lines_created",
        "creating_invoices",
        "draft_invoices",
        "validating",
        "validated",
    ]


async def test_suspects_make_full_automatic_wait_where_they_need_a_user(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    await _rule(client, fail_status="suspect")
    await runs.know(event("BE-1", "500.00"))
    await runs.command(create(process_type="full_automatic", on_suspect="manual_action"), command("process"))
    await runs.settle()
    assert await runs.state() == ("draft_invoices", "idle")

    await runs.command(command("process"))
    await runs.settle()
    assert await runs.reviews() == {"D-BE-1": "validated"}


async def test_reviews_come_as_commands_too(runs: Runs) -> None:
    await _drafts(runs)
    await runs.command(review("reject", select={"filter": {"amount_min": "200.00"}}, reason="too large"))

    assert await runs.reviews() == {"D-BE-1": "draft", "D-BE-2": "rejected", "D-BE-3": "rejected"}
    reviewed = [
        (each["document_id"], each["review"], each["rejected_by"])
        for each in await runs.facts("document.reviewed")
    ]
    assert sorted(reviewed) == [  # each draft is told of by the rules' verdict first
        ("D-BE-1", "draft", None),
        ("D-BE-2", "draft", None),
        ("D-BE-2", "rejected", "user"),
        ("D-BE-3", "draft", None),
        ("D-BE-3", "rejected", "user"),
    ]


async def test_rules_are_kept_tested_and_checked(runs: Runs, client: httpx.AsyncClient) -> None:
    await _drafts(runs)
    assert (await client.get("/rules/LIMIT")).status_code == 404
    await _rule(client)
    await _rule(client)
    assert (await client.get("/rules/LIMIT")).json() == RULE | {"code": "LIMIT", "version": 1}

    tried = await client.post("/rules/LIMIT/test", json={"document_id": "D-BE-2"})
    assert tried.json()["passed"] is False
    tried = await client.post("/rules/LIMIT/test", json={"document_id": "D-BE-1"})
    assert tried.json()["passed"] is True


async def test_a_finding_names_the_version_of_its_rule_which_is_kept(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    await _rule(client)
    await _drafts(runs)
    await _rule(client, expression="total_net <= 250")

    await _review(client, action="recheck", select={"document_ids": ["D-BE-3"]})

    listed = (await client.get("/billing-runs/R-1/documents", params={"rule": "LIMIT"})).json()["items"]
    assert {each["document_id"]: each["findings"][0]["version"] for each in listed} == {
        "D-BE-2": 1,
        "D-BE-3": 2,
    }
    first = (await client.get("/rules/LIMIT", params={"version": 1})).json()
    assert (first["version"], first["expression"]) == (1, "total_net <= 100")
    assert (await client.get("/rules/LIMIT")).json()["expression"] == "total_net <= 250"
    assert (await client.get("/rules/LIMIT", params={"version": 3})).status_code == 404


@pytest.mark.parametrize(
    "wrong, fields",
    [
        ({"expression": "total_net.__class__"}, ["expression"]),
        ({"expression": "total_nett > 5 and acount.id == customer"}, ["expression"] * 3),
        (
            {"combine": "or", "children": [{"mode": "condition", "expression": "1 +"}]},
            ["children[0].expression"],
        ),
        ({"combine": "or"}, ["children"]),
        ({"children": [{"mode": "validation", "expression": "total_net > 0"}]}, ["combine"]),
        ({"expression": None}, ["expression"]),
        ({"active_from": "2026-12-01", "active_to": "2026-11-30"}, ["active_to"]),
        ({"fail_status": "draft"}, ["fail_status"]),
    ],
)
async def test_a_rule_that_cannot_be_kept_is_refused_by_field(
    client: httpx.AsyncClient, wrong: dict[str, Any], fields: list[str]
) -> None:
    answer = await client.put("/rules/LIMIT", json=RULE | wrong)

    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == fields
    assert (await client.get("/rules/LIMIT")).status_code == 404


async def test_a_rule_over_lines_and_a_rule_set(runs: Runs, client: httpx.AsyncClient) -> None:
    children = [
        {"mode": "condition", "expression": 'kind == "sales_invoice"'},
        {"mode": "rejection", "expression": "any(line.amount > 250 for line in lines)"},
        {"mode": "validation", "expression": 'account.id == "A-1"'},
    ]
    await _rule(client, expression=None, combine="and", children=children)
    await _drafts(runs)

    assert await runs.reviews() == {"D-BE-1": "draft", "D-BE-2": "draft", "D-BE-3": "rejected"}


async def test_a_run_that_goes_on_by_itself_is_never_seen_to_rest(runs: Runs) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(process_type="full_automatic"), command("process"))
    seen = [await runs.state()]
    while seen[-1] != ("validated", "idle"):
        worked = await runs.chunk()
        seen.append(await runs.state())
        answers = runs.connector.answer(await runs.take_published("accounting."))
        if answers:
            await runs.accounting_facts(*answers)
        assert worked or answers, seen
    assert [status for status, execution in seen if execution == "idle"] == ["validated"]
    told = [fact["status"] for fact in await runs.facts("run.status-changed")]
    assert told[1:-1] == ["invoice_lines_created", "creating_invoices", "draft_invoices", "validating"]


async def test_a_command_waits_for_documents_that_are_not_known_yet(runs: Runs, connector: Connector) -> None:
    """Whoever has read of a draft may ask for it before this service has read of it (contract.md section 1)."""
    await runs.know(event("BE-1"))
    await runs.command(create(), command("process"))
    await runs.settle()
    await runs.command(command("process"))
    await runs.work()
    drafted = connector.answer(await runs.take_published("accounting."))
    await runs.command(review("reject", select={"document_ids": ["D-BE-1"]}, reason="wrong address"))
    await runs.look_again()
    assert await runs.refusals() == []

    await runs.accounting_facts(*drafted)
    await runs.look_again()
    await runs.settle()

    assert await runs.reviews() == {"D-BE-1": "rejected"}
    assert await runs.state() == ("rejected", "idle")


async def test_a_command_for_documents_that_never_come_is_refused(
    store: Database, connector: Connector
) -> None:
    hasty = Runs(store, connector, wait_seconds=0.0)
    await hasty.know(event("BE-1"))
    await hasty.command(create())
    for _ in range(2):
        await hasty.command(command("process"))
        await hasty.settle()
    select = {"document_ids": ["D-BE-1", "D-404"]}
    await hasty.command(review("reject", select=select, reason="wrong address"))
    await hasty.look_again()

    assert await hasty.refusals() == [("review", "not_found")]
    assert await hasty.reviews() == {"D-BE-1": "rejected"}
