"""Files of a run's documents while they are reviewed, moved and numbered (domain.md section 5, Rendering)."""

from dataclasses import replace

import httpx
import pytest

from billing_runs.handlers.steps import rendering
from integration.billing_runs.driver import Connector, Published, Runs, command, create, event, review

XML = {"format": "xml"}


async def _drafts(runs: Runs) -> None:
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create())
    for _ in range(2):
        await runs.command(command("process"))
        await runs.settle()


async def _asked(runs: Runs) -> list[Published]:
    await runs.work()
    return await runs.take_published("accounting.")


async def _files(client: httpx.AsyncClient, run_id: str = "R-1") -> dict[str, str]:
    documents = (await client.get(f"/billing-runs/{run_id}/documents")).json()["items"]
    return {each["document_id"]: each["files"]["xml"] for each in documents}


async def test_a_document_that_is_moved_meanwhile_is_still_an_answer_to_the_step(
    runs: Runs, connector: Connector, client: httpx.AsyncClient
) -> None:
    await _drafts(runs)
    await runs.command(command("render", **XML))
    asked = await _asked(runs)
    await runs.command(review("quarantine", select={"document_ids": ["D-BE-1"]}))

    await runs.accounting_facts(*connector.answer(asked))
    await runs.work()

    assert await runs.state() == ("draft_invoices", "idle")
    [report] = [
        each
        for each in (await client.get("/billing-runs/R-1/executions")).json()["items"]
        if each["step"] == "xml"
    ]
    assert (report["to_do"], report["done"], report["status"]) == (2, 2, "completed")
    assert await _files(client) == {"D-BE-2": "ready"}
    assert await _files(client, "R-1.quarantine") == {"D-BE-1": "ready"}


async def test_a_cancelled_document_gets_no_file(runs: Runs, client: httpx.AsyncClient) -> None:
    await _drafts(runs)
    select = {"document_ids": ["D-BE-1"]}
    await runs.command(review("cancel", select=select, billing_events="reopen"))
    await runs.settle()

    await runs.command(command("render", **XML))
    await runs.settle()

    assert await runs.state() == ("draft_invoices", "idle")
    assert await _files(client) == {"D-BE-1": "none", "D-BE-2": "ready"}


async def test_a_document_that_is_numbered_while_its_file_is_made_gets_a_current_file(
    runs: Runs, connector: Connector, client: httpx.AsyncClient
) -> None:
    await _drafts(runs)
    await runs.command(review("validate", select={"document_ids": ["D-BE-1"]}))
    validation = await _asked(runs)
    await runs.command(command("render", **XML))
    rendering = await _asked(runs)

    await runs.accounting_facts(*connector.answer([*validation, *rendering]))
    await runs.work()

    assert await runs.state() == ("draft_invoices", "idle")
    assert await runs.reviews() == {"D-BE-1": "validated", "D-BE-2": "draft"}
    assert await _files(client) == {"D-BE-1": "ready", "D-BE-2": "ready"}


async def test_a_file_of_the_draft_is_stale_once_the_document_is_numbered(
    runs: Runs, connector: Connector, client: httpx.AsyncClient
) -> None:
    await _drafts(runs)
    await runs.command(review("validate", select={"document_ids": ["D-BE-1"]}))
    validation = await _asked(runs)
    await runs.command(command("render", **XML))
    rendering = await _asked(runs)

    await runs.accounting_facts(*connector.answer([*rendering, *validation]))
    await runs.work()

    assert await runs.state() == ("draft_invoices", "idle")
    assert await _files(client) == {"D-BE-1": "stale", "D-BE-2": "ready"}


async def test_a_file_that_somebody_else_has_asked_for_is_no_answer_to_the_step(
    runs: Runs, connector: Connector
) -> None:
    await _drafts(runs)
    await runs.command(command("render", **XML))
    asked = await _asked(runs)
    elsewhere = [replace(each, body=each.body | {"job_id": "J-9"}) for each in asked]

    await runs.accounting_facts(*connector.answer(elsewhere))
    await runs.work()
    assert await runs.state() == ("draft_invoices", "running")
    await runs.accounting_facts(*connector.answer(asked))
    await runs.work()

    assert await runs.state() == ("draft_invoices", "idle")


async def test_no_more_files_are_asked_for_at_a_time_than_others_can_wait_for(
    runs: Runs, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "CHUNK_ASKED", 2)
    monkeypatch.setattr(rendering, "UNDER_WAY_MAX", 4)
    await runs.know(*(event(f"BE-{number}") for number in range(7)))
    await runs.command(create())
    for _ in range(2):
        await runs.command(command("process"))
        await runs.settle()
    await runs.command(command("render", **XML))

    asked = await _asked(runs)
    assert [len(each.body["document_ids"]) for each in asked] == [2, 2]
    await runs.accounting_facts(*connector.answer(asked[:1]))
    more = await _asked(runs)
    assert [len(each.body["document_ids"]) for each in more] == [2]
    await runs.accounting_facts(*connector.answer([*asked[1:], *more]))
    await runs.settle()

    assert await runs.state() == ("draft_invoices", "idle")


async def test_review_goes_on_while_files_are_made(runs: Runs, connector: Connector) -> None:
    await _drafts(runs)
    await runs.command(command("render", **XML))
    rendering = await _asked(runs)
    await runs.command(
        review("validate", select={"document_ids": ["D-BE-1"]}),
        review("reject", select={"document_ids": ["D-BE-2"]}, reason="wrong address"),
        command("cancel", billing_events="reopen"),
    )

    assert await runs.reviews() == {"D-BE-1": "draft", "D-BE-2": "rejected"}
    assert await runs.refusals() == [("cancel", "step_running")]
    assert await _asked(runs) == []
    await runs.accounting_facts(*connector.answer(rendering))
    await runs.settle()

    assert await runs.reviews() == {"D-BE-1": "validated", "D-BE-2": "rejected"}
    assert await runs.state() == ("rejected", "idle")


async def test_after_a_failed_step_documents_can_be_reviewed(runs: Runs, client: httpx.AsyncClient) -> None:
    await _drafts(runs)
    await runs.command(command("render", **XML))
    await _asked(runs)
    await runs.fail_step("R-1")
    assert await runs.state() == ("draft_invoices", "failed")
    assert await _files(client) == {"D-BE-1": "stale", "D-BE-2": "stale"}

    await runs.command(review("validate", select={"filter": {}}))
    await runs.settle()

    assert await runs.reviews() == {"D-BE-1": "validated", "D-BE-2": "validated"}
    assert await runs.state() == ("validated", "failed")


async def test_a_document_shows_what_is_under_way_with_it(
    runs: Runs, connector: Connector, client: httpx.AsyncClient
) -> None:
    await _drafts(runs)
    connector.refused_validations["D-BE-1"] = "no_open_series"
    await runs.command(review("validate", select={"document_ids": ["D-BE-1"]}))

    async def offered() -> dict[str, str | None]:
        documents = (await client.get("/billing-runs/R-1/documents")).json()["items"]
        return {each["action"]: each["indicator"] for each in documents[0]["available_actions"]}

    assert await offered() == {"validate": "running"}
    await runs.settle()
    assert await offered() == {
        "validate": "warning",
        "reject": None,
        "quarantine": None,
        "cancel": None,
        "recheck": None,
    }
