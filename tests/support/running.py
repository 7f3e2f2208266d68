"""The whole system, running for tests that look at it from outside."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sluice.console import say
from sluice.infrastructure.choose import broker_choice
from sluice.infrastructure.postgres import FAST_AND_FORGETFUL
from sluice.system import ANY_PORTS, Options, System, take_system


@contextmanager
def running_system(
    *,
    settings: Mapping[str, str] | None = None,
    postgres_settings: Mapping[str, str] = FAST_AND_FORGETFUL,
) -> Iterator[System]:
    """The system with four services, on free ports, watched as `sluice up` does; without durability, if not told else.

    Fixtures that hold one are for a folder, not for the session: it costs a fifth of a core even while nobody asks
    anything of it.
    """
    options = Options(broker=broker_choice(), postgres_settings=postgres_settings, settings=settings)
    stopping = threading.Event()
    with take_system(None, ports=ANY_PORTS, is_ephemeral=True, options=options, say=say) as system:
        watch = threading.Thread(target=system.watch, args=(stopping,), name="watch-system")
        watch.start()
        try:
            yield system
        finally:
            stopping.set()
            watch.join()
