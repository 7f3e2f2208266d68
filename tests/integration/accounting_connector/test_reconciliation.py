"""The books are found to balance, and every planted difference is found (domain.md section 6)."""

import asyncpg
import httpx
import pytest

from integration.accounting_connector.driver import (
    ConnectorDriver,
    changed,
    event,
    item,
    released,
    start_ids,
    withdraw,
)
from support.records import message_record

_MIRROR = "select document_id from documents where mirrors_document_id is not null"
PLANTED = [
    ("lines_match_items", "update document_lines set amount = amount + 1 where billing_event_id = 'BE-1'"),
    ("lines_match_items", "delete from document_lines where billing_event_item_id = 'b'"),
    ("one_live_document", "delete from live_documents where billing_event_id = 'BE-1'"),
    ("one_live_document", "update documents set mirrors_document_id = null"),
    ("document_totals", "update documents set total_net = total_net + 1, total_gross = total_gross + 1"),
    ("document_totals", "update document_taxes set tax = tax + 1"),
    ("corrections", "update document_taxes set taxable = taxable + 1 where document_id = (" + _MIRROR + ")"),
    ("mirrors", "update documents set kind = 'sales_invoice'"),
    ("numbers", "update documents set number = 'SIN-2026-000099' where number = 'SIN-2026-000001'"),
    ("numbers", "update number_series set last_number = last_number + 1"),
    ("numbers", "update documents set date = date + 1 where number = 'SIN-2026-000002'"),
    (
        "told_documents",
        "insert into told_documents values ('D-LOST', 'BE-1', 'SIN-2026-000007', '2026-11-20')",
    ),
    ("dead_letters", "insert into dead_letters values ('x', 'release.events', 0, 999999999, 'lost')"),
]


@pytest.fixture
async def books(connector: ConnectorDriver, client: httpx.AsyncClient) -> ConnectorDriver:
    """Invoices, a credit note, left-out items, a draft, a shared document and a mirror.

    The shared document has a line of an item whose id is that of one left out of its other event.
    """
    await client.put("/companies/C-UK/settings", json={"item_criteria": ['category != "expense"']})
    items = [item("a", "100.00"), item("b", "-30.00"), item("x", "7.00", category="expense")]
    await connector.release(
        released(event("BE-1", *items, auto_pass_to_accounting=True)),
        released(event("BE-2", item("c", "-40.00"), auto_pass_to_accounting=True)),
        released(event("BE-3", auto_pass_to_accounting=True)),
        released(event("BE-4", item("i", "9.00"), item("j", "1.00", category="expense"))),
        released(event("BE-5", item("j", "5.00"))),
        released(event("BE-6")),
    )
    await connector.command(
        withdraw("BE-3"),
        start_ids("PR-1", "BE-4", "BE-5", grouping="account"),
        start_ids("PR-2", "BE-6", validate=False),
    )
    await connector.settle()
    # Release has moved what was left out of BE-1 to an event of its own.
    await connector.release(changed(event("BE-1", *items[:2], stage="invoiced")))
    return connector


async def checks(client: httpx.AsyncClient) -> dict[str, bool]:
    answer = await client.get("/reconciliation")
    assert answer.status_code == 200
    body = answer.json()
    found = {check["check"]: check["balanced"] for check in body["checks"]}
    assert body["balanced"] == all(found.values())
    assert all(bool(check["differences"]) != check["balanced"] for check in body["checks"])
    return found


async def test_the_books_balance(books: ConnectorDriver, client: httpx.AsyncClient) -> None:
    found = await checks(client)
    assert len(found) == 8
    assert all(found.values())
    assert await books.facts("difference-found") == []
    positions = (await client.get("/reconciliation")).json()["positions"]
    assert {position["line"] for position in positions} == {"reference", "release", "commands"}


async def test_numbers_that_a_restored_database_gives_once_more_are_found(
    books: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    """Release tells of a document that the tables have forgotten, and whose number another one has now."""
    documents = (await client.get("/documents")).json()["items"]
    [kept] = [each for each in documents if each["number"] == "SIN-2026-000001"]
    invoiced = {"billing_event_id": "BE-1", "project_id": "P-1", "invoice_date": "2026-11-20"}
    invoiced["invoice_number"] = "SIN-2026-000001"
    fact = "release.billing-event.invoiced.v1"
    await books.release(
        message_record(fact, invoiced | {"document_id": kept["document_id"]}),
        message_record(fact, invoiced | {"document_id": "D-FORGOTTEN"}),
    )
    body = (await client.get("/reconciliation")).json()
    [found] = [each["differences"] for each in body["checks"] if each["check"] == "told_documents"]
    assert found == [
        {
            "document_id": "D-FORGOTTEN",
            "billing_event_id": "BE-1",
            "number": "SIN-2026-000001",
            "date": "2026-11-20",
            "number_given_to": kept["document_id"],
        }
    ]


@pytest.mark.parametrize(("check", "damage"), PLANTED)
async def test_a_planted_difference_is_found(
    books: ConnectorDriver,
    client: httpx.AsyncClient,
    administrator: "asyncpg.Connection[asyncpg.Record]",
    check: str,
    damage: str,
) -> None:
    status = await administrator.execute(damage)
    assert not status.endswith(" 0"), "the damage must be done"
    assert (await checks(client))[check] is False
    assert (await checks(client))[check] is False
    first, second = await books.facts("reconciliation.difference-found", "difference-found")
    # Told to the operators under one id, so that they hear of the same finding once.
    assert first["reconciliation_id"] == second["reconciliation_id"]
