"""`sluice demo`: the whole system, a sample feed, the main job, and a report of what happened."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from sluice.broker_options import broker_options
from sluice.client import CallError
from sluice.console import EXIT_FAILED, JsonOption, answer_json, fail, say
from sluice.demo.context import OPERATOR_EMAIL, USER_EMAIL, USER_ID
from sluice.demo.feed import EVENTS_MIN, Feed, make_feed
from sluice.demo.files import keep_files
from sluice.demo.kafka import WaitError
from sluice.demo.pages import show
from sluice.demo.run import DemoRefusedError, Place, play
from sluice.infrastructure.choose import broker_choice
from sluice.infrastructure.errors import StartError, UnavailableError
from sluice.state import State, StateError
from sluice.system import ANY_PORTS, Options, System, SystemBusyError, take_system
from sluice.topics import TopicError

_EVENTS: Final = 60
_EVENTS_MAX: Final = 100_000
_BATCH_SIZE_MIN: Final = 10
_BATCH_SIZE_MAX: Final = 200
# With a sixth of the events in a chunk, a culprit spoils one chunk of the job, and the others are released.
_CHUNKS: Final = 6
_FILE_WIDTH: Final = 200


def demo(
    events: Annotated[
        int,
        typer.Option(
            "--events",
            min=1,
            max=_EVENTS_MAX,
            help=f"How many billing events; never fewer than {EVENTS_MIN}.",
        ),
    ] = _EVENTS,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same feed.")] = 1,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Keep the system's state in this folder; without it nothing is left behind."
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", help="Keep the report, the documents' files and the services' logs here."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole system, feed it, do the main job, and report; exit code 0 only if the books balance."""
    if events < EVENTS_MIN:
        say(f"what is shown needs {EVENTS_MIN} billing events; so many are made")
        events = EVENTS_MIN
    _make_folder(keep)
    feed = make_feed(events, seed)
    batch_size = min(_BATCH_SIZE_MAX, max(_BATCH_SIZE_MIN, events // _CHUNKS))
    system = _take(data, batch_size)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    started = time.perf_counter()
    try:
        with system, _watched(system):
            start_seconds = time.perf_counter() - started
            try:
                report = asyncio.run(_play(system, feed, batch_size, keep))
            finally:
                _keep_logs(system, keep)
    except KeyboardInterrupt:
        fail("interrupted; what was started has been stopped")
    except (StartError, UnavailableError, TopicError, DemoRefusedError, CallError, WaitError) as error:
        fail(str(error))
    report = {"events": events, "seed": seed, "start_seconds": round(start_seconds, 3), **report}
    if keep is not None:
        (keep / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=1), "utf-8")
    if as_json:
        answer_json(report)
    else:
        show(report, _console())
    if not report["ok"]:
        raise typer.Exit(EXIT_FAILED)


def _make_folder(keep: Path | None) -> None:
    """Before anything is started: what is to be kept has a place."""
    try:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{keep} cannot be used: {error.strerror}")


def _take(data: Path | None, batch_size: int) -> System:
    settings = {"RELEASE_BATCH_SIZE": str(batch_size), "OPERATORS": OPERATOR_EMAIL}
    try:
        return take_system(
            None if data is None else State(data),
            ports=ANY_PORTS,
            is_ephemeral=data is None,
            options=Options(broker=broker_choice(), settings=settings),
            say=say,
        )
    except (SystemBusyError, StateError, OSError, ValueError) as error:
        fail(str(error))


@contextmanager
def _watched(system: System) -> Iterator[None]:
    """As `sluice up` does, start again what dies."""
    stopping = threading.Event()
    watch = threading.Thread(target=system.watch, args=(stopping,), name="watch-system")
    watch.start()
    try:
        yield
    finally:
        stopping.set()
        watch.join()


async def _play(system: System, feed: Feed, batch_size: int, keep: Path | None) -> dict[str, Any]:
    servers = system.infrastructure
    if servers.mail.page_url is not None:
        say(f"mails are shown at {servers.mail.page_url}")
    place = Place(
        kafka=broker_options(servers.broker.bootstrap_servers),
        urls={name: process.url for name, process in system.services.items()},
        token=system.token(user=USER_ID, email=USER_EMAIL),
        mail_page=servers.mail.page_url,
    )
    report = await play(place, feed, batch_size=batch_size, say=say)
    if keep is not None and "documents" in report:
        url = place.urls["accounting-connector"]
        report["files"] = await keep_files(url, place.token, report["documents"], keep / "documents")
        say(f"the files of {len(report['documents'])} documents are in {keep / 'documents'}")
    return {**report, "infrastructure": system.summary()["infrastructure"]}


def _console() -> Console:
    console = Console(highlight=False)
    # Into a file or a pipe a table is written as wide as it is.
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)


def _keep_logs(system: System, keep: Path | None) -> None:
    if keep is None:
        return
    (keep / "logs").mkdir(parents=True, exist_ok=True)
    for log in sorted(system.state.logs.glob("*.log")):
        (keep / "logs" / log.name).write_bytes(log.read_bytes())
