"""Which benchmarks there are, and running them, each on servers of its own that keep what they commit."""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import uvloop

from sluice.benchmarks.billing_run import (
    LARGE_RUN_DOCUMENTS_FACTOR,
    RUN_DOCUMENTS_FACTOR,
    measure_billing_runs,
    measure_large_run,
)
from sluice.benchmarks.documents import LARGEST_SETTINGS, measure_documents, measure_largest_document
from sluice.benchmarks.figures import Result
from sluice.benchmarks.latency import measure_latency
from sluice.benchmarks.relay import measure_relay
from sluice.benchmarks.release_decisions import measure_release_decisions
from sluice.benchmarks.release_sizes import JOB_EVENTS_FACTOR, SPLIT_ITEMS, measure_job, measure_split
from sluice.benchmarks.rendering import measure_pdf, measure_xml
from sluice.benchmarks.servers import Servers
from sluice.benchmarks.whole_way import measure_whole_way
from sluice.infrastructure.say import Say
from sluice.system import ANY_PORTS, Options, System, take_system

EVENTS_DEFAULT: Final = 50_000

_MESSAGES_PER_EVENT: Final = 2
_LATENCY_EVENTS_MAX: Final = 6_000
_DECISIONS_MAX: Final = 20_000
_DOCUMENTS_MAX: Final = 20_000


def run_benchmarks(codes: Sequence[str], events: int, say: Say) -> list[Result]:
    """Run these benchmarks, one after the other; `events` is the size of the largest."""
    results = []
    for code in codes:
        say(f"{code} …")
        if code in WITHOUT_SYSTEM:
            results.append(WITHOUT_SYSTEM[code]())
            continue
        with _fresh_system(say, SETTINGS.get(code)) as system:
            results.append(WITH_SYSTEM[code](system, events))
    return results


@contextmanager
def _fresh_system(say: Say, settings: Mapping[str, str] | None) -> Iterator[System]:
    options = Options(settings=settings)
    with take_system(None, ports=ANY_PORTS, is_ephemeral=True, options=options, say=say) as system:
        yield system


def _stop_services(system: System) -> None:
    for process in system.services.values():
        process.stop()


def _run(measuring: Coroutine[Any, Any, Result]) -> Result:
    return uvloop.run(measuring)


def _whole_way(system: System, events: int) -> Result:
    return _run(measure_whole_way(system, events, settle=lambda: _stop_services(system)))


def _documents(system: System, events: int) -> Result:
    return _run(measure_documents(system, min(events, _DOCUMENTS_MAX)))


def _relay(system: System, events: int) -> Result:
    _stop_services(system)
    servers = system.infrastructure
    return _run(
        measure_relay(
            Servers(
                servers.broker.bootstrap_servers,
                is_idempotent=servers.broker.is_idempotent,
                administrator_url=servers.database.administrator_url,
            ),
            events * _MESSAGES_PER_EVENT,
        )
    )


def _latency(system: System, events: int) -> Result:
    return _run(measure_latency(system, min(events, _LATENCY_EVENTS_MAX)))


def _billing_runs(system: System, events: int) -> Result:
    documents = events * RUN_DOCUMENTS_FACTOR
    return _run(measure_billing_runs(system, documents, settle=lambda: _stop_services(system)))


def _large_run(system: System, events: int) -> Result:
    return _run(measure_large_run(system, events * LARGE_RUN_DOCUMENTS_FACTOR))


def _release_decisions(system: System, events: int) -> Result:
    _stop_services(system)
    administrator_url = system.infrastructure.database.administrator_url
    return _run(measure_release_decisions(administrator_url, min(events, _DECISIONS_MAX)))


def _split(system: System, _events: int) -> Result:
    return _run(measure_split(system))


def _job(system: System, events: int) -> Result:
    return _run(measure_job(system, events * JOB_EVENTS_FACTOR))


WITH_SYSTEM: Final[dict[str, Callable[[System, int], Result]]] = {
    "P1": _whole_way,
    "P2": _release_decisions,
    "P3": _documents,
    "P4": _relay,
    "P5": _latency,
    "P6": _billing_runs,
    "P9-DOC": lambda system, _: measure_largest_document(system),
    "P9-RUN": _large_run,
    "P9-SPLIT": _split,
    "P9-JOB": _job,
}
WITHOUT_SYSTEM: Final[dict[str, Callable[[], Result]]] = {"P7": measure_xml, "P8": measure_pdf}

CODES: Final = tuple(sorted((*WITH_SYSTEM, *WITHOUT_SYSTEM)))
"""The benchmarks by the numbers of the specification (quality.md, Speed)."""

SETTINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "P9-DOC": LARGEST_SETTINGS,
    "P9-SPLIT": {"RELEASE_BATCH_SIZE": str(SPLIT_ITEMS)},
}
"""What a benchmark's services are set to, beside what they are without it (contract.md section 4)."""
