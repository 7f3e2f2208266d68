"""P5: how long a billing event takes from PSA to its validated document while 300 come each second."""

import asyncio
import secrets
import statistics
import time
from typing import Final

from sluice.benchmarks.driver import REGISTERED, VALIDATED, Driver
from sluice.benchmarks.figures import LOWER, Figure, Goal, Measured, Result
from sluice.benchmarks.processor_time import measure_processor_time
from sluice.benchmarks.sample import Prepared, Sample
from sluice.benchmarks.whole_way import process_ids
from sluice.broker_options import broker_options
from sluice.system import System

EVENTS_PER_SECOND: Final = 300
TICK_SECONDS: Final = 0.01
MEDIAN_MILLISECONDS_MAX: Final = 150
NINETY_NINTH_MILLISECONDS_MAX: Final = 1_000
WARM_UP_SHARE: Final = 0.2
"""The first events are sent, and not counted: services load and plan on first use."""


async def measure_latency(system: System, events: int) -> Result:
    """Send events at an even rate, release each as soon as it is registered, and note when its document comes."""
    servers = system.infrastructure
    sample = Sample(f"L{secrets.token_hex(3)}")
    async with Driver(broker_options(servers.broker.bootstrap_servers), sample) as driver:
        await driver.send_sources(servers.database.administrator_url)
        messages = list(sample.events(events))
        with measure_processor_time(process_ids(system)) as used:
            sent_at = await _send_evenly(driver, messages)
            await driver.until(VALIDATED, events)
    counted = [sample.event_id(number) for number in range(round(events * WARM_UP_SHARE), events)]
    seen = driver.seen.at
    whole = _percentiles([seen[VALIDATED][each] - sent_at[each] for each in counted])
    registering = _percentiles([seen[REGISTERED][each] - sent_at[each] for each in counted])
    return Result(
        code="P5",
        title=f"Latency: event to validated document at {EVENTS_PER_SECOND} events/s",
        how=f"{events:,} events are sent, {EVENTS_PER_SECOND} a second; the driver sends the release command when it "
        f"reads the event's `registered`. Counted are the last {len(counted):,}, from before the event is handed to "
        "the producer until the driver has read the `document.validated` that names it.",
        measured=(
            Measured(
                Figure("half of the documents within", whole[50], "ms"),
                (Goal(MEDIAN_MILLISECONDS_MAX, sense=LOWER),),
            ),
            Measured(
                Figure("99 % of the documents within", whole[99], "ms"),
                (Goal(NINETY_NINTH_MILLISECONDS_MAX, sense=LOWER),),
            ),
        ),
        elapsed_seconds=used.elapsed_seconds,
        seconds_by_process=used.seconds_by_process,
        details={
            "registered within": f"{registering[50]:.0f} ms (half), {registering[99]:.0f} ms (99 %)",
            "the slowest document": f"{whole[100]:.0f} ms",
        },
    )


async def _send_evenly(driver: Driver, messages: list[Prepared]) -> dict[str, float]:
    """Send at the even rate, whatever comes back; gives when each event was sent, by its id."""
    sent_at: dict[str, float] = {}
    started = time.perf_counter()
    sending: set[asyncio.Task[None]] = set()
    place = 0
    while place < len(messages):
        due = min(len(messages), int((time.perf_counter() - started) * EVENTS_PER_SECOND) + 1)
        now = time.perf_counter()
        for message in messages[place:due]:
            sent_at[message.subject] = now
        if place < due:
            task = asyncio.create_task(driver.send(messages[place:due]))
            sending.add(task)
            task.add_done_callback(sending.discard)
        place = due
        await asyncio.sleep(TICK_SECONDS)
    await asyncio.gather(*sending)
    return sent_at


def _percentiles(seconds: list[float]) -> dict[int, float]:
    """Milliseconds within which half of them, 99 of a hundred, and all were."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {50: cuts[49] * 1000, 99: cuts[98] * 1000, 100: max(seconds) * 1000}
