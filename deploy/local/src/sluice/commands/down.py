"""`sluice down`: ends a system that runs on this machine."""

import contextlib
import os
import signal
import time
from typing import Final

from sluice.client import DataOption
from sluice.console import JsonOption, answer_json, fail, say
from sluice.infrastructure.locks import FileLock
from sluice.infrastructure.processes import end_leftovers, leftovers
from sluice.state import State, StateError, state_of

_STOP_SECONDS_MAX: Final = 180.0
_POLL_SECONDS: Final = 0.1


def down(data: DataOption = None, as_json: JsonOption = False) -> None:
    """End a system: the one that keeps its state in --data, else the last one started."""
    try:
        state = state_of(data)
    except StateError as error:
        fail(str(error))
    was_running = end_system(state)
    if as_json:
        answer_json({"data": str(state.data), "was_running": was_running})
    say(f"stopped the system in {state.data}" if was_running else f"no system was running in {state.data}")


def end_system(state: State) -> bool:
    """Ask the system to end and wait until it has; then stop what a killed one left behind. Whether anything ran."""
    lock = FileLock(state.lock)
    if not state.lock.exists() or lock.acquire(wait=False):
        ended = end_leftovers(leftovers(state.run))
        lock.release()
        return bool(ended)
    holder = lock.read()
    if holder.isdecimal():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(holder), signal.SIGTERM)
    end = time.monotonic() + _STOP_SECONDS_MAX
    while state.lock.exists() and not lock.acquire(wait=False):
        if time.monotonic() > end:
            fail(
                f"the system in {state.data} (process {holder}) did not end within {_STOP_SECONDS_MAX:.0f} s"
            )
        time.sleep(_POLL_SECONDS)
    lock.release()
    return True
