"""P3 and the document of P9: what the accounting connector makes of released events, by itself and of the largest."""

import asyncio
import functools
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import asyncpg

from sluice.benchmarks.driver import INVOICED, Driver, StallError
from sluice.benchmarks.figures import LOWER, Figure, Goal, Measured, Result
from sluice.benchmarks.limit import write_the_same
from sluice.benchmarks.memory import MEBIBYTE, peak_memory_bytes
from sluice.benchmarks.outbox_rows import sample_outbox_rows
from sluice.benchmarks.processor_time import measure_processor_time
from sluice.benchmarks.sample import Sample
from sluice.benchmarks.whole_way import process_ids
from sluice.benchmarks.write_counts import count_writes
from sluice.broker_options import broker_options
from sluice.client import ServiceClient
from sluice.infrastructure.blocking import run_blocking
from sluice.system import System

ITEMS_PER_EVENT: Final = 10
DOCUMENTS_PER_SECOND_MIN: Final = 330
LIMIT_SHARE_MIN: Final = 0.4
LARGEST_LINES: Final = 10_000
LARGEST_SETTINGS: Final = {"MAX_LINES": "20000", "RELEASE_BATCH_SIZE": "20000"}
"""What the largest document needs of its system."""
MEMORY_MEBIBYTES_MAX: Final = 512

_CONNECTOR: Final = "accounting-connector"
_SCHEMA: Final = "accounting_connector"
_POLL_SECONDS: Final = 0.05
_STALL_SECONDS_MAX: Final = 60.0

_RELEASED: Final = """
select count(*) - (select count(*) from release.outbox) from release.billing_events
where billing_event_id like $1 and stage = 'released'
"""
_DOCUMENTS: Final = "select count(*) from accounting_connector.documents where status = 'validated'"
_DOCUMENT_ID: Final = """
select document_id from accounting_connector.documents where status = 'validated' and billing_event_ids = array[$1]
"""


async def measure_documents(system: System, events: int) -> Result:
    """P3: released events lie ready on the topic; the connector, alone, makes a numbered document of each.

    Measured from its first documents to its last, so that its start does not count.
    """
    servers = system.infrastructure
    administrator_url = servers.database.administrator_url
    options = broker_options(servers.broker.bootstrap_servers)
    sample = Sample(f"D{secrets.token_hex(3)}", items_per_event=ITEMS_PER_EVENT)
    connector = system.services[_CONNECTOR]
    connection = await asyncpg.connect(administrator_url)
    try:
        async with Driver(options, sample) as driver:
            await driver.send_sources(administrator_url)
            connector.stop()
            await driver.send(sample.events(events))
            await _until(connection, _RELEASED, lambda told: told >= events, f"{sample.code}-%")
        for process in system.services.values():
            process.stop()
        await asyncio.to_thread(connector.start_again)
        first = await _until(connection, _DOCUMENTS, lambda made: made > 0)
        with measure_processor_time(process_ids(system)) as used:
            await _until(connection, _DOCUMENTS, lambda made: made >= events)
    finally:
        await connection.close()
    connector.stop()
    writes = {
        table: written
        for table, written in (await count_writes(administrator_url, [_SCHEMA])).items()
        if not table.endswith((".accounts", ".companies"))
    }
    limit = await write_the_same(administrator_url, writes, await sample_outbox_rows(options))
    figure = Figure(
        what=f"documents of {ITEMS_PER_EVENT} lines",
        value=(events - first) / used.elapsed_seconds,
        unit="documents/s",
        limit=events / limit.seconds,
        limit_what=f"one process writes the same {limit.rows / events:.1f} rows per document in batches of 1,000",
    )
    return Result(
        code="P3",
        title="Connector: released event to numbered document",
        how=f"The `released` facts of {events:,} events of {ITEMS_PER_EVENT} items, which pass to accounting by "
        "themselves, lie on the topic; the other services have ended. The connector reads them, makes a validated "
        "document and a process run of each, and tells of both.",
        measured=(Measured(figure, (Goal(LIMIT_SHARE_MIN, is_ratio=True), Goal(DOCUMENTS_PER_SECOND_MIN))),),
        elapsed_seconds=used.elapsed_seconds,
        seconds_by_process=used.seconds_by_process,
    )


def measure_largest_document(system: System, lines: int = LARGEST_LINES) -> Result:
    """The document of P9: what memory each process needs for it, its XML and its PDF.

    The system must allow it (`LARGEST_SETTINGS`).
    """
    began = time.perf_counter()
    document_id = run_blocking(_make_document(system, lines))
    made_seconds = time.perf_counter() - began
    seconds: dict[str, float] = {}
    peaks: dict[str, float] = {}
    with ServiceClient(system.services[_CONNECTOR].url, system.token()) as client:
        for file_format in ("xml", "pdf"):
            asked = time.perf_counter()
            path = f"/documents/{document_id}.{file_format}"
            _watch(system, functools.partial(client.get_bytes, path), peaks)
            seconds[file_format] = time.perf_counter() - asked
    return Result(
        code="P9-DOC",
        title=f"A document of {lines:,} lines",
        how=f"A billing event of {lines:,} items is registered, released as a whole, and passed to accounting; then "
        "its XML and its PDF are asked for. The system keeps the peak of resident memory of each service and of the "
        "processes that it started.",
        measured=tuple(
            Measured(
                Figure(f"memory of {name} at most", peak, "MiB"), (Goal(MEMORY_MEBIBYTES_MAX, sense=LOWER),)
            )
            for name, peak in sorted(peaks.items())
        ),
        elapsed_seconds=time.perf_counter() - began,
        details={
            "it took": f"{made_seconds:.1f} s from PSA to the written-back document, {seconds['xml']:.1f} s for the "
            f"XML, {seconds['pdf']:.1f} s for the PDF"
        },
    )


def _watch(system: System, work: Callable[[], object], peaks: dict[str, float]) -> None:
    """Do the work, and note meanwhile what each process needs: one that has made a large file ends after it."""
    services = {name: process.pid for name, process in system.services.items()}
    with ThreadPoolExecutor(max_workers=1) as pool:
        working = pool.submit(work)
        while True:
            has_ended = working.done()
            for name, peak in peak_memory_bytes(services).items():
                peaks[name] = max(peaks.get(name, 0.0), peak / MEBIBYTE)
            if has_ended:
                break
            time.sleep(_POLL_SECONDS)
        working.result()


async def _make_document(system: System, lines: int) -> str:
    servers = system.infrastructure
    sample = Sample(f"L{secrets.token_hex(3)}", projects=1, items_per_event=lines, names_products=True)
    async with Driver(broker_options(servers.broker.bootstrap_servers), sample) as driver:
        await driver.send_sources(servers.database.administrator_url)
        await driver.send(sample.events(1))
        await driver.until(INVOICED, 1)
    connection = await asyncpg.connect(servers.database.administrator_url)
    try:
        return str(await connection.fetchval(_DOCUMENT_ID, sample.event_id(0)))
    finally:
        await connection.close()


async def _until(
    connection: "asyncpg.Connection[Any]", query: str, is_enough: Callable[[int], bool], *parameters: str
) -> int:
    """Wait until a count is enough, and give it. Raises StallError if it stands still for too long."""
    last, last_at = -1, time.monotonic()
    while True:
        count: int = await connection.fetchval(query, *parameters)
        if is_enough(count):
            return count
        if count != last:
            last, last_at = count, time.monotonic()
        elif time.monotonic() - last_at > _STALL_SECONDS_MAX:
            raise StallError(f"nothing moved for {_STALL_SECONDS_MAX:g} s; {count:,} were counted")
        await asyncio.sleep(_POLL_SECONDS)
