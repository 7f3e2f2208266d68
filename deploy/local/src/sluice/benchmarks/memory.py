"""The most memory that each process has used since it started."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

MEBIBYTE: Final = 1024 * 1024
_PEAK: Final = "VmHWM:"


def peak_memory_bytes(processes: Mapping[str, int | None]) -> dict[str, int]:
    """By name: the largest peak of resident memory among each process and its children, as the system keeps it."""
    peaks = {}
    for name, pid in processes.items():
        try:
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)] if pid else []
        except psutil.NoSuchProcess:
            continue
        peaks[name] = max((_peak_of(member.pid) for member in family), default=0)
    return peaks


def _peak_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith(_PEAK)), None)
    return int(line.split()[1]) * 1024 if line is not None else 0
