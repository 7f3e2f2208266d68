"""Ends what a system started when the system itself was ended without a chance to do so (kill -9).

A process of its own that waits at a pipe. The system says `done` there when it has stopped everything itself; if the
pipe closes without that word, the system is dead, and what it started is stopped by pid and start time.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from sluice.infrastructure.locks import FileLock
from sluice.infrastructure.processes import end_leftovers, leftovers
from sluice.state import State

_DONE: Final = b"done\n"
_LOCK_SECONDS_MAX: Final = 10.0
_POLL_SECONDS: Final = 0.02
_CLEANING: Final = "cleaning"
"""What the lock of a state says while a guardian cleans up after a dead system."""


class Guardian:
    """The system's end of the pipe."""

    def __init__(self, state: State, *, removes_state: bool) -> None:
        arguments = [sys.executable, "-m", "sluice.guardian", str(state.data), "--system", str(os.getpid())]
        if removes_state:
            arguments.append("--remove")
        with (state.logs / "guardian.log").open("ab") as log:
            self._child = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )

    def dismiss(self) -> None:
        """Tell it that all is stopped, and wait until it has gone."""
        try:
            self._child.communicate(_DONE, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self._child.kill()
            self._child.wait()


def watch(state: State, *, system: int, removes_state: bool) -> None:
    """Wait for the pipe's end; clean up unless the system did so itself or another one has taken the state over."""
    if sys.stdin.buffer.read() == _DONE:
        return
    lock = FileLock(state.lock)
    if not _take_from_the_dead(lock, system):
        return
    lock.write(_CLEANING)
    end_leftovers(leftovers(state.run))
    if removes_state:
        state.remove()
    lock.release()


def _take_from_the_dead(lock: FileLock, system: int) -> bool:
    """Take the lock of the dead system; False if another system has it.

    A dying process gives its files back in no certain order: the pipe can close a moment before the lock is free.
    """
    end = time.monotonic() + _LOCK_SECONDS_MAX
    while not lock.acquire(wait=False):
        if lock.read() not in ("", str(system)) or time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def main() -> None:
    """Guard the system whose state is given on the command line."""
    parser = argparse.ArgumentParser(description="Ends what a dead system left behind")
    parser.add_argument("data", type=Path)
    parser.add_argument("--system", type=int, required=True)
    parser.add_argument("--remove", action="store_true")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watch(State(given.data), system=given.system, removes_state=given.remove)


if __name__ == "__main__":
    main()
