"""The benchmarks of release run on small feeds, and give figures."""

from sluice.benchmarks.release_decisions import measure_release_decisions
from sluice.benchmarks.release_sizes import measure_job, measure_split
from sluice.infrastructure.choose import DatabaseServer
from sluice.services import SERVICES
from sluice.system import System


async def test_release_decisions_are_measured_beside_the_rows_of_them(
    postgres_server: DatabaseServer,
) -> None:
    result = await measure_release_decisions(postgres_server.administrator_url, 1_000)
    (measured,) = result.measured
    assert measured.figure.ratio is not None
    assert measured.figure.ratio > 0
    told = result.details["rows per decision in the limit"]
    assert (
        told
        == "inbox 1.0, cap_ledger 1.0, billing_event_history 1.0, outbox 2.0, billed_items 3.0, billing_events 1.0"
    )


async def test_split_is_measured_with_the_memory_of_every_service(system: System) -> None:
    result = await measure_split(system, items=100)
    split, *memory = (measured.figure for measured in result.measured)
    assert split.value > 0
    assert len(memory) == len(SERVICES)
    assert all(figure.value > 1 for figure in memory)


async def test_job_is_measured_with_the_memory_of_every_service(system: System) -> None:
    result = await measure_job(system, 60)
    job, *memory = (measured.figure for measured in result.measured)
    assert job.value > 0
    assert len(memory) == len(SERVICES)
    assert all(figure.value > 1 for figure in memory)
