"""Running a coroutine from code that is not one."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_blocking(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end in a thread and loop of its own: callers inside a running loop may wait too."""
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(coroutine))
        except BaseException as error:  # noqa: BLE001 - handed over to the waiting thread
            failure.append(error)

    thread = threading.Thread(target=run, name="run-blocking")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
