"""The sizes of P9 that concern release: one event of 10,000 items that is split, and one job of 100,000 events."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaProducer

from sluice.benchmarks.driver import StallError
from sluice.benchmarks.figures import LOWER, Figure, Goal, Measured, Result
from sluice.benchmarks.memory import MEBIBYTE, peak_memory_bytes
from sluice.benchmarks.processor_time import measure_processor_time
from sluice.benchmarks.sample import Prepared, Sample
from sluice.benchmarks.whole_way import process_ids
from sluice.broker_options import broker_options
from sluice.client import ServiceClient
from sluice.system import System

SPLIT_ITEMS: Final = 10_000
JOB_EVENTS_FACTOR: Final = 2
"""The job of P9 has this many times the events of the largest benchmark: 100,000."""
MEMORY_MEBIBYTES_MAX: Final = 512

_BYTES_MAX: Final = 16 * 1024 * 1024
_SEND_MESSAGES: Final = 1_000
_POLL_SECONDS: Final = 0.1
_STALL_SECONDS_MAX: Final = 120.0
_AWAITING: Final = """
select count(*) from release.billing_events where batch_id = $1 and stage = 'awaiting_release'
"""
_TOLD: Final = """
select count(*) from accounting_connector.billing_events where batch_id = $1 and stage = 'released'
"""


async def measure_split(system: System, items: int = SPLIT_ITEMS) -> Result:
    """Split and release an event of so many items, of which half fit under the cap."""
    sample = Sample(
        f"S{secrets.token_hex(3)}",
        projects=1,
        items_per_event=items,
        passes_to_accounting=False,
        names_products=True,
    )
    sample = replace(sample, bookings=sample.event_amount // 2)
    connection = await asyncpg.connect(system.infrastructure.database.administrator_url)
    try:
        with (
            ServiceClient(system.services["release"].url, system.token()) as release,
            measure_processor_time(process_ids(system)) as used,
        ):
            await _send(system, [*sample.sources(), *sample.events(1)])
            await _until(connection, _AWAITING, sample.batch_id, 1)
            started = time.perf_counter()
            path = f"/billing-events/{sample.event_id(0)}/release"
            result = await asyncio.to_thread(release.post, path, {"on_cap": "split"})
            seconds = time.perf_counter() - started
            await _until(connection, _TOLD, sample.batch_id, 1)
    finally:
        await connection.close()
    released, moved = len(result["released_item_ids"]), len(result["moved_item_ids"])
    if result["outcome"] != "split" or released + moved != items:
        raise RuntimeError(f"the event was not split: {released:,} items released, {moved:,} moved")
    return Result(
        code="P9-SPLIT",
        title=f"An event of {items:,} items, split",
        how=f"An event of {items:,} items is sent, with RELEASE_BATCH_SIZE raised to as many, and split and released "
        f"over HTTP: {released:,} items fit under the cap, {moved:,} move. Then the system is asked for the peak of "
        "resident memory of each service, which holds the arrival and the facts of both events as well.",
        measured=(
            Measured(Figure(f"split of {items:,} items", seconds, "s")),
            *_memory(system, f"an event of {items:,} items"),
        ),
        elapsed_seconds=used.elapsed_seconds,
        seconds_by_process=used.seconds_by_process,
    )


async def measure_job(system: System, events: int) -> Result:
    """Release so many events by one job, chunk by chunk."""
    sample = Sample(f"J{secrets.token_hex(3)}", items_per_event=1, passes_to_accounting=False)
    connection = await asyncpg.connect(system.infrastructure.database.administrator_url)
    try:
        with ServiceClient(system.services["release"].url, system.token()) as release:
            await _send(system, [*sample.sources(), *sample.events(events)])
            await _until(connection, _AWAITING, sample.batch_id, events)
            with measure_processor_time(process_ids(system)) as used:
                job = await _work(release, {"select": {"batch_ids": [sample.batch_id]}})
            await _until(connection, _TOLD, sample.batch_id, events)
    finally:
        await connection.close()
    if (job["status"], job["released"]) != ("completed", events):
        raise RuntimeError(f"the job is {job['status']}: {job['released']:,} of {events:,} events released")
    return Result(
        code="P9-JOB",
        title=f"A release job of {events:,} events",
        how=f"{events:,} events of one item over {sample.projects} projects with enforced caps await release in one "
        "batch; one job over the batch releases them, in chunks of 200, from the call that starts it until it has "
        "ended. Then the system is asked for the peak of resident memory of each service, which holds the arrival of "
        "the events and the reading of their facts as well.",
        measured=(
            Measured(Figure(f"a job of {events:,} events", events / used.elapsed_seconds, "events/s")),
            *_memory(system, f"a job of {events:,} events"),
        ),
        elapsed_seconds=used.elapsed_seconds,
        seconds_by_process=used.seconds_by_process,
    )


def _memory(system: System, what: str) -> tuple[Measured, ...]:
    services = {name: process.pid for name, process in system.services.items()}
    return tuple(
        Measured(
            Figure(f"{what}: memory of {name} at most", peak / MEBIBYTE, "MiB"),
            (Goal(MEMORY_MEBIBYTES_MAX, sense=LOWER),),
        )
        for name, peak in sorted(peak_memory_bytes(services).items())
    )


async def _send(system: System, messages: Iterable[Prepared]) -> None:
    options = broker_options(system.infrastructure.broker.bootstrap_servers)
    async with AIOKafkaProducer(
        acks="all", linger_ms=5, max_batch_size=256 * 1024, max_request_size=_BYTES_MAX, **options
    ) as producer:
        pending: list[asyncio.Future[Any]] = []
        for message in messages:
            pending.append(
                await producer.send(message.topic, message.value, key=message.key, headers=message.headers)
            )
            if len(pending) == _SEND_MESSAGES:
                await asyncio.gather(*pending)
                pending.clear()
        await asyncio.gather(*pending)


async def _work(release: ServiceClient, body: Mapping[str, Any]) -> dict[str, Any]:
    """Start a job and wait for its end."""
    job: dict[str, Any] = await asyncio.to_thread(release.post, "/release-jobs", body)
    stall_at = time.monotonic() + _STALL_SECONDS_MAX
    while job["status"] in {"queued", "running"}:
        await asyncio.sleep(_POLL_SECONDS)
        now = await asyncio.to_thread(release.get, f"/release-jobs/{job['job_id']}")
        if now["done"] > job["done"]:
            stall_at = time.monotonic() + _STALL_SECONDS_MAX
        elif time.monotonic() > stall_at:
            raise StallError(
                f"the job decided nothing for {_STALL_SECONDS_MAX:g} s, after {now['done']:,} events"
            )
        job = now
    return job


async def _until(connection: "asyncpg.Connection[Any]", query: str, batch_id: str, wanted: int) -> None:
    """Count the batch's events until there are as many as wanted. Raises StallError if no more come."""
    last, stall_at = -1, time.monotonic() + _STALL_SECONDS_MAX
    while (count := await connection.fetchval(query, batch_id)) < wanted:
        if count != last:
            last, stall_at = count, time.monotonic() + _STALL_SECONDS_MAX
        elif time.monotonic() > stall_at:
            raise StallError(
                f"nothing came for {_STALL_SECONDS_MAX:g} s, after {count:,} of {wanted:,} events"
            )
        await asyncio.sleep(_POLL_SECONDS)
