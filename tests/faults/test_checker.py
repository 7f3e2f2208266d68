"""The checker says no: every invariant in SQL finds what breaks it (and finds nothing in sound books)."""

from typing import Any, Final

import asyncpg
import pytest

from support.books.checker import run_queries
from support.books.queries import QUERIES
from support.trial import Trial

_ONE_INVOICED: Final = "(select min(billing_event_id) from release.billing_events where stage = 'invoiced')"
_ONE_DOCUMENT: Final = """(select min(document_id) from accounting_connector.documents
  where status = 'validated' and mirrors_document_id is null and cardinality(billing_event_ids) = 1)"""

BREAKS: Final = {
    "released totals are the ledger's sums": "update release.project_totals set released = released - 0.01",
    "the ledger holds each released event once, with the sum of its items": f"""
delete from release.cap_ledger where billing_event_id = {_ONE_INVOICED}""",
    "no enforced cap is passed": "update release.projects set bookings = 1",
    "no decision passed its cap": 'update release.cap_ledger set decision = decision || \'{"bookings": "0.01"}\'',
    "the ledger counts on without a leap": """
update release.cap_ledger set released_after = released_after - 0.01
where entry_id = (select max(entry_id) from release.cap_ledger)""",
    "a split loses nothing": """
update release.billing_events set origin_id = 'gone' where made_by_cap""",
    "an event has at most one live document": f"""
insert into accounting_connector.documents
select (jsonb_populate_record(document, '{{"document_id": "twin", "number": "SIN-2026-999999"}}')).*
from accounting_connector.documents as document where document_id = {_ONE_DOCUMENT}""",
    "lines are the event's items, to the cent": f"""
update accounting_connector.document_lines set amount = amount + 0.01
where document_id = {_ONE_DOCUMENT} and place = 1""",
    "a document's totals are its lines and its taxes": f"""
update accounting_connector.document_taxes set tax = tax + 0.01 where document_id = {_ONE_DOCUMENT}""",
    "numbers have no gap and none is twice, each in the year of its date": f"""
update accounting_connector.documents set number = 'SIN-2026-999999' where document_id = {_ONE_DOCUMENT}""",
    "a series knows its last number": "update accounting_connector.number_series set last_number = last_number + 1",
    "what is invoiced has its document, and the other way round": f"""
update release.billing_events set invoice_number = 'SIN-2026-999999' where billing_event_id = {_ONE_INVOICED}""",
    "what is taken back was validated, and no more than it": """
update accounting_connector.documents set total_net = total_net + 1, total_gross = total_gross + 1
where mirrors_document_id is not null""",
    "a job's figures are its log's": "update release.release_jobs set released = released - 1, failed = failed + 1",
    "a process run's figures are its log's": "update accounting_connector.process_runs set not_passed = not_passed + 1",
    "what a billing run claimed has one fate each, and its documents are the connector's": """
update billing_runs.run_events set state = 'asked', claimed = false""",
    "a billing run sees its documents as they are": """
update billing_runs.run_documents set total_net = total_net + 0.01""",
    "a claim ends with its run, or with the quarantine run that its event was moved to": """
insert into accounting_connector.claims (billing_event_id, billing_run_id)
select 'held', min(run_id) from billing_runs.runs where status = 'validated'""",
    "the connector knows every event as release does": """
update accounting_connector.billing_events set summary_amount = summary_amount + 0.01""",
    "the billing runs know every event as release does": "delete from billing_runs.billing_events",
    "what has ended is told once, not once more under another cause": """
insert into notifier.notifications (cause, kind, notice) select cause || '/again', kind, notice
from notifier.notifications where kind = 'process_run_ended' limit 1""",
    "every job that has ended is told to its starter": "delete from notifier.alerts where cause like 'release-job/%'",
    "every process run that has ended is told to its starter": """
delete from notifier.alerts where cause like 'process-run/%'""",
}


async def test_load_without_fault_comes_out_as_its_arithmetic_says(sound: Trial) -> None:
    assert await sound.differences() == []


@pytest.mark.parametrize("what", sorted(QUERIES))
async def test_every_invariant_finds_what_breaks_it(sound: Trial, what: str) -> None:
    connection: asyncpg.Connection[Any] = await asyncpg.connect(
        sound.system.infrastructure.database.administrator_url
    )
    try:
        transaction = connection.transaction()
        await transaction.start()
        assert await run_queries(connection) == []
        changed = await connection.execute(BREAKS[what])
        assert not changed.endswith(" 0"), "something was broken"
        found = await run_queries(connection)
        assert [each for each in found if each.startswith(what)], found
        await transaction.rollback()
    finally:
        await connection.close()
