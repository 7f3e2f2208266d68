"""What came of a plan, against what its own arithmetic says must have come of it."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import asyncpg

from support.books.fact_log import FactLog
from support.load.expectation import Expectation, ExpectedDocument
from support.load.plan import HOT_FITTING
from support.load.world import DIGITS, tax_of

_STAGES: Final = (
    "select billing_event_id, stage from release.billing_events where billing_event_id = any($1::text[])"
)
_LINEAGE: Final = "select billing_event_id from release.billing_events where root_id = any($1::text[])"
_RELEASED: Final = (
    "select project_id, currency, released from release.project_totals where project_id = any($1::text[])"
)
_DOCUMENTS: Final = """
select event_id as billing_event_id, kind, currency, total_net, total_tax, mirrors_document_id is not null as is_mirror
from accounting_connector.documents cross join lateral unnest(billing_event_ids) as event_id
where status = 'validated' and event_id = any($1::text[])
"""
_JOBS: Final = (
    "select job_id, status, released, failed from release.release_jobs where job_id = any($1::text[])"
)
_PROCESS_RUNS: Final = """
select process_run_id, status, invoices from accounting_connector.process_runs where process_run_id = any($1::text[])
"""
_RUNS: Final = "select run_id, status from billing_runs.runs where run_id = any($1::text[])"
_FILES: Final = """
select billing_event_id, document.xml_file, document.pdf_file from billing_runs.run_events
join billing_runs.run_documents as document using (run_id, document_id)
where run_id = any($1::text[]) and (document.xml_file, document.pdf_file) is distinct from ('ready', 'ready')
"""
_RELEASED_STAGES: Final = ("released", "invoiced", "reverted")
_MAILS: Final = """
select lower(recipient) as recipient, count(*) as mails from notifier.deliveries
where lower(recipient) = any($1::text[]) and status = 'sent' group by 1
"""


async def outcome_against_expectation(
    connection: "asyncpg.Connection[Any]",
    expected: Expectation,
    told: FactLog,
) -> list[str]:
    """Every difference between what is stored or told and what the plan leads to."""
    found = await _stages(connection, expected)
    found += await _totals(connection, expected)
    found += await _documents(connection, expected)
    found += await _ended(connection, expected)
    return found + await _told(connection, expected, told)


async def _stages(connection: "asyncpg.Connection[Any]", expected: Expectation) -> list[str]:
    hot = [event_id for group in expected.hot_groups.values() for event_id in group]
    rows = await connection.fetch(_STAGES, [*expected.stages, *hot])
    stages = {row["billing_event_id"]: row["stage"] for row in rows}
    found = _differences("stage of", expected.stages, {each: stages.get(each) for each in expected.stages})
    for group, event_ids in expected.hot_groups.items():
        counts = Counter(stages.get(event_id) for event_id in event_ids)
        wanted = {"released": HOT_FITTING, "awaiting_release": len(event_ids) - HOT_FITTING}
        if dict(counts) != wanted:
            found.append(f"{group}: {dict(counts)}, wanted {wanted}")
    lineage = {row["billing_event_id"] for row in await connection.fetch(_LINEAGE, list(expected.stages))}
    return found + [f"{each} was made by nobody's wish" for each in sorted(lineage - set(expected.stages))]


async def _totals(connection: "asyncpg.Connection[Any]", expected: Expectation) -> list[str]:
    rows = await connection.fetch(_RELEASED, list(expected.released))
    actual = dict.fromkeys(expected.released, 0)
    found = []
    for row in rows:
        if row["currency"] != expected.currencies[row["project_id"]]:
            found.append(f"{row['project_id']} has a total in {row['currency']}")
        actual[row["project_id"]] = _smallest_units(row["released"], row["currency"])
    return found + _differences("released total of", expected.released, actual)


async def _documents(connection: "asyncpg.Connection[Any]", expected: Expectation) -> list[str]:
    hot = [event_id for group in expected.hot_groups.values() for event_id in group]
    rows = await connection.fetch(_DOCUMENTS, [*expected.stages, *hot])
    found = []
    actual: Counter[ExpectedDocument] = Counter()
    for row in rows:
        net = _smallest_units(row["total_net"], row["currency"])
        actual[ExpectedDocument(row["billing_event_id"], row["kind"], net, row["is_mirror"])] += 1
        if _smallest_units(row["total_tax"], row["currency"]) != tax_of(net):
            found.append(f"the tax of {row['billing_event_id']} is {row['total_tax']} on {row['total_net']}")
    wanted = Counter(expected.documents)
    found += [f"missing document: {each}" for each in wanted - actual]
    return found + [f"document that nothing led to: {each}" for each in actual - wanted]


async def _ended(connection: "asyncpg.Connection[Any]", expected: Expectation) -> list[str]:
    jobs = {
        row["job_id"]: (row["status"], row["released"], row["failed"])
        for row in await connection.fetch(_JOBS, list(expected.jobs))
    }
    wanted = {job_id: (job.status, job.released, job.failed) for job_id, job in expected.jobs.items()}
    found = _differences("job", wanted, jobs)
    runs = {
        row["process_run_id"]: (row["status"], row["invoices"])
        for row in await connection.fetch(_PROCESS_RUNS, list(expected.process_runs))
    }
    wanted_runs = {each: ("completed", invoices) for each, invoices in expected.process_runs.items()}
    found += _differences("process run", wanted_runs, runs)
    rows = await connection.fetch(_RUNS, expected.billing_runs)
    statuses = {row["run_id"]: row["status"] for row in rows}
    found += _differences("billing run", dict.fromkeys(expected.billing_runs, "validated"), statuses)
    rows = await connection.fetch(_FILES, expected.billing_runs)
    return found + [f"files that were not made: {dict(row)}" for row in rows]


async def _told(
    connection: "asyncpg.Connection[Any]",
    expected: Expectation,
    told: FactLog,
) -> list[str]:
    rows = await connection.fetch(_MAILS, list(expected.mails))
    found = _differences("mails to", expected.mails, {row["recipient"]: row["mails"] for row in rows})
    for message_type, subjects in (
        ("release.job.started.v1", expected.jobs),
        ("release.job.completed.v1", expected.jobs),
        ("accounting.process-run.started.v1", expected.process_runs),
        ("accounting.process-run.completed.v1", expected.process_runs),
        ("release.cap.threshold-crossed.v1", [f"{group}-P" for group in expected.hot_groups]),
    ):
        for subject in subjects:
            if (times := told.counts[message_type, subject]) != 1:
                found.append(f"{message_type} of {subject} was told {times} times")
    return found + [
        f"{event_id} was refused although it was to be released: {reasons}"
        for event_id, reasons in told.refusals.items()
        if expected.stages.get(event_id, "") in _RELEASED_STAGES
    ]


def _differences(what: str, wanted: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    return [
        f"{what} {key} is {actual.get(key)!r}, wanted {value!r}"
        for key, value in wanted.items()
        if actual.get(key) != value
    ]


def _smallest_units(amount: Decimal, currency: str) -> int:
    units = amount.scaleb(DIGITS[currency])
    assert units == int(units), f"{amount} has more digits than {currency}"
    return int(units)
