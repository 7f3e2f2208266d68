"""P1: the whole way of a billing event through all four services, beside the rows of it written by one process."""

import secrets
from collections.abc import Callable
from typing import Final

from sluice.benchmarks.driver import INVOICED, Driver
from sluice.benchmarks.figures import Figure, Goal, Measured, Result
from sluice.benchmarks.limit import write_the_same
from sluice.benchmarks.outbox_rows import sample_outbox_rows
from sluice.benchmarks.processor_time import measure_processor_time
from sluice.benchmarks.sample import Sample
from sluice.benchmarks.write_counts import count_writes
from sluice.broker_options import broker_options
from sluice.services import SERVICES
from sluice.system import System

EVENTS_PER_SECOND_MIN: Final = 1_000
LIMIT_SHARE_MIN: Final = 0.33

_SCHEMAS: Final = tuple(service.module for service in SERVICES)
_TABLES_SHOWN: Final = 12


async def measure_whole_way(system: System, events: int, *, settle: Callable[[], None]) -> Result:
    """Send billing events, release each as it registers, until all are invoiced at release.

    `settle` is called once the services have nothing more to do, so that they can be stopped before the limit is
    measured.
    """
    servers = system.infrastructure
    administrator_url = servers.database.administrator_url
    options = broker_options(servers.broker.bootstrap_servers)
    sample = Sample(f"W{secrets.token_hex(3)}")
    async with Driver(options, sample) as driver:
        await driver.send_sources(administrator_url)
        messages = list(sample.events(events))
        with measure_processor_time(process_ids(system)) as used:
            await driver.send(messages)
            await driver.until(INVOICED, events)
    settle()
    writes = await count_writes(administrator_url, _SCHEMAS)
    limit = await write_the_same(administrator_url, writes, await sample_outbox_rows(options))
    figure = Figure(
        what="billing events, from PSA to written back",
        value=events / used.elapsed_seconds,
        unit="events/s",
        limit=events / limit.seconds,
        limit_what=f"one process writes the same {limit.rows / events:.1f} rows per event in batches of 1,000",
    )
    widest = sorted(limit.rows_by_table.items(), key=lambda each: -each[1])[:_TABLES_SHOWN]
    return Result(
        code="P1",
        title="The whole way: PSA event to written-back document",
        how=f"{events:,} events of {sample.items_per_event} items over {sample.projects} projects with enforced caps "
        "are sent as fast as the broker takes them; the driver releases each as soon as it is registered; they pass "
        "to accounting by themselves, until release has written all documents back. Four services, broker, database "
        "and driver share this machine.",
        measured=(Measured(figure, (Goal(LIMIT_SHARE_MIN, is_ratio=True), Goal(EVENTS_PER_SECOND_MIN))),),
        elapsed_seconds=used.elapsed_seconds,
        seconds_by_process=used.seconds_by_process,
        details={
            "rows written": f"{sum(w.inserted + w.updated + w.deleted for w in writes.values()):,} by the services, "
            f"{limit.rows:,} in the limit",
            "rows per event in the limit": ", ".join(
                f"{name} {count / events:.1f}" for name, count in widest
            ),
        },
    )


def process_ids(system: System) -> dict[str, int | None]:
    """The processes of a system by name."""
    servers = {name: getattr(server, "pid", None) for name, server in system.infrastructure.servers.items()}
    return {name: process.pid for name, process in system.services.items()} | servers
