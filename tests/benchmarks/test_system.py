"""The benchmarks of the whole system run on a small feed, and give figures."""

import pytest

from sluice.benchmarks.billing_run import measure_billing_runs, measure_large_run
from sluice.benchmarks.documents import measure_largest_document
from sluice.benchmarks.latency import measure_latency
from sluice.benchmarks.whole_way import measure_whole_way
from sluice.system import System

EVENTS = 60


async def test_whole_way_is_measured_beside_the_rows_of_it(system: System) -> None:
    settled = []
    result = await measure_whole_way(system, EVENTS, settle=lambda: settled.append(True))
    (measured,) = result.measured
    assert settled == [True]
    assert measured.figure.value > 0
    assert measured.figure.limit is not None
    assert measured.figure.limit > 0
    assert {"release", "accounting-connector", "billing-runs", "notifier"} <= result.seconds_by_process.keys()
    # The limit writes what every service stores of an event: at least its row, its items, its lines and its messages.
    told = result.details["rows per event in the limit"]
    for table in ("release.billing_events", "release.outbox", "accounting_connector.document_lines"):
        assert table in told


async def test_latency_is_measured(system: System) -> None:
    result = await measure_latency(system, EVENTS)
    median, ninety_ninth = (measured.figure.value for measured in result.measured)
    assert 0 < median <= ninety_ninth


@pytest.mark.slow
async def test_billing_runs_are_measured_step_by_step_beside_the_rows_of_them(system: System) -> None:
    result = await measure_billing_runs(system, EVENTS, settle=lambda: None)
    speed, whole, growth = (measured.figure for measured in result.measured)
    assert speed.value > 0
    assert whole.value == pytest.approx(EVENTS / speed.value)
    assert speed.limit is not None
    assert speed.limit > 0
    assert growth.value == 1  # a single size
    (steps,) = result.details.values()
    for step in ("lines", "drafts and rules", "validation", "XML"):
        assert f"{step} " in steps
    large = await measure_large_run(system, EVENTS)
    assert {measured.figure.what for measured in large.measured} >= {"memory of billing-runs at most"}
    assert all(measured.figure.value > 0 for measured in large.measured)


async def test_large_document_is_measured_with_its_files(system: System) -> None:
    result = measure_largest_document(system, 30)
    assert {"memory of accounting-connector at most", "memory of release at most"} <= {
        measured.figure.what for measured in result.measured
    }
    assert all(measured.figure.value > 0 for measured in result.measured)
