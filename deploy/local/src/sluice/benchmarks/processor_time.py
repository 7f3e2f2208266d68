"""How much processor time each process uses while something is measured."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil


@dataclass(slots=True)
class ProcessorTime:
    """Wall time, and processor time by the names of the processes, of a measured block."""

    elapsed_seconds: float = 0.0
    seconds_by_process: dict[str, float] = field(default_factory=dict)


@contextmanager
def measure_processor_time(processes: Mapping[str, int | None]) -> Iterator[ProcessorTime]:
    """Measure the block; the processes by name, each with its children, and this process as `driver`.

    A process that ends meanwhile counts only what it had used when it was last seen, so those named should live on.
    """
    named = {name: pid for name, pid in processes.items() if pid is not None} | {"driver": os.getpid()}
    before = {name: _used(pid, with_children=name != "driver") for name, pid in named.items()}
    started = time.perf_counter()
    measured = ProcessorTime()
    yield measured
    measured.elapsed_seconds = time.perf_counter() - started
    for name, pid in named.items():
        after = _used(pid, with_children=name != "driver")
        used = sum(max(0.0, seconds - before[name].get(child, 0.0)) for child, seconds in after.items())
        measured.seconds_by_process[name] = used


def _used(pid: int, *, with_children: bool) -> dict[int, float]:
    """Seconds of user and system time by process id."""
    used: dict[int, float] = {}
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if with_children else [])]
    except psutil.NoSuchProcess:
        return used
    for member in family:
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used[member.pid] = times.user + times.system
    return used
