"""Steps go through a run's documents in chunks, from one to the next, and come back for what was passed by."""

from collections.abc import Iterable

import httpx
import pytest

from billing_runs.handlers.steps import cancellation, invoices, rendering, validation
from integration.billing_runs.driver import Connector, Published, Runs, command, create, event

DOCUMENTS = [f"D-BE-{number}" for number in range(5)]
LIMIT = {
    "kind": "sales_invoice",
    "priority": 1,
    "fail_status": "rejected",
    "mode": "validation",
    "expression": "total_net <= 100",
    "message": "too large",
}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "CHUNK_ASKED", 2)
    monkeypatch.setattr(validation, "CHUNK_DOCUMENTS", 2)
    monkeypatch.setattr(rendering, "CHUNK_ASKED", 2)
    monkeypatch.setattr(invoices, "CHUNK_DOCUMENTS", 2)
    monkeypatch.setattr(cancellation, "CHUNK", 2)


async def _drafts(runs: Runs, *amounts: str, **settings: str) -> None:
    await runs.know(*(event(f"BE-{number}", amount) for number, amount in enumerate(amounts)))
    await runs.command(create(**settings))
    for _ in range(2):
        await runs.command(command("process"))
        await runs.settle()


def _asked(published: Iterable[Published]) -> list[list[str]]:
    return [each.body["document_ids"] for each in published]


async def test_every_document_is_validated_once_and_what_comes_in_behind_as_well(
    runs: Runs, client: httpx.AsyncClient, connector: Connector
) -> None:
    assert (await client.put("/rules/LIMIT", json=LIMIT)).status_code in {200, 201}
    await _drafts(runs, "500.00", *["100.00"] * 4)
    await runs.command(command("process"))
    while not (asked := await runs.take_published("accounting.")):
        assert await runs.chunk()
    accepted = {"action": "accept", "select": {"document_ids": ["D-BE-0"]}}
    assert (await client.post("/billing-runs/R-1/documents/review", json=accepted)).status_code == 200

    await runs.work()
    asked += await runs.take_published("accounting.")

    assert _asked(asked) == [["D-BE-1", "D-BE-2"], ["D-BE-3", "D-BE-4"], ["D-BE-0"]]
    await runs.accounting_facts(*connector.answer(asked))
    await runs.settle()
    assert await runs.reviews() == dict.fromkeys(DOCUMENTS, "validated")
    assert await runs.state() == ("validated", "idle")


async def test_every_document_that_a_rule_rejected_is_judged_again(
    runs: Runs, client: httpx.AsyncClient
) -> None:
    assert (await client.put("/rules/LIMIT", json=LIMIT)).status_code in {200, 201}
    await _drafts(runs, *["500.00"] * 5)
    assert await runs.reviews() == dict.fromkeys(DOCUMENTS, "rejected")
    assert (await client.put("/rules/LIMIT", json=LIMIT | {"expression": "total_net <= 1000"})).is_success

    await runs.command(command("process"))
    await runs.settle()

    assert await runs.reviews() == dict.fromkeys(DOCUMENTS, "validated")


async def test_every_bad_draft_is_acted_on_by_the_run(runs: Runs, client: httpx.AsyncClient) -> None:
    assert (await client.put("/rules/LIMIT", json=LIMIT)).status_code in {200, 201}

    await _drafts(runs, *["500.00"] * 5, on_rejected="cancel")

    assert await runs.reviews() == dict.fromkeys(DOCUMENTS, "cancelled")
    assert await runs.fates() == {f"BE-{number}": "reopened" for number in range(5)}


async def test_every_document_gets_a_file(runs: Runs) -> None:
    await _drafts(runs, *["100.00"] * 5)
    await runs.command(command("render", format="xml"))

    await runs.work()

    asked = _asked(await runs.take_published("accounting."))
    assert asked == [["D-BE-0", "D-BE-1"], ["D-BE-2", "D-BE-3"], ["D-BE-4"]]


async def test_every_draft_is_cancelled_and_every_event_free_again(runs: Runs) -> None:
    await _drafts(runs, *["100.00"] * 5)

    await runs.command(command("cancel", billing_events="reopen"))
    await runs.settle()

    assert await runs.reviews() == dict.fromkeys(DOCUMENTS, "cancelled")
    assert await runs.fates() == {f"BE-{number}": "reopened" for number in range(5)}
    assert await runs.state() == ("cancelled", "idle")
