"""`sluice dead-letters list|show|replay`: what a service could not take."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError

from sluice.broker_options import broker_options
from sluice.client import DataOption
from sluice.console import EXIT_USAGE, JsonOption, answer_json, answer_table, answer_text, fail, say
from sluice.dead_letters import (
    DeadLetter,
    DeadLetterError,
    Place,
    read_dead_letters,
    read_dead_letters_at,
    replay,
)
from sluice.infrastructure.blocking import run_blocking
from sluice.services import SERVICES, service_named
from sluice.state import StateError, state_of

app = typer.Typer(
    no_args_is_help=True, help="What a service could not take, with why; mended, it can be sent again."
)

ServiceArgument = Annotated[
    str, typer.Argument(help="The service: release, accounting-connector, billing-runs, notifier.")
]
LimitOption = Annotated[
    int, typer.Option("--limit", min=1, max=100_000, help="At most this many of each partition.")
]


@app.command("list")
def list_letters(
    service: Annotated[str | None, typer.Argument(help="Only this service's.")] = None,
    limit: LimitOption = 1_000,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the dead letters of a service, or of all of them, the oldest first."""
    names = [each.name for each in SERVICES] if service is None else [service]
    rows = [{"service": name, **letter.outline()} for name in names for letter in _read(name, data, limit)]
    rows.sort(key=lambda row: row["time"] or "")
    if as_json:
        answer_json({"items": rows})
    elif not rows:
        say("there are no dead letters")
    else:
        answer_table(["service", "place", "time", "topic", "key", "reason", "size_bytes"], rows)


@app.command()
def show(
    service: ServiceArgument,
    place: Annotated[str, typer.Argument(help="partition:offset, as `list` shows it.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter: why, where from, and its value."""
    (letter,) = _chosen(service, [place], data)
    full = letter.full()
    if as_json:
        answer_json(full)
        return
    value = full.pop("value")
    answer_table(["what", "is"], [{"what": name, "is": content} for name, content in full.items()])
    answer_text("" if value is None else value)


@app.command("replay")
def replay_letters(
    *,
    service: ServiceArgument,
    places: Annotated[
        list[str] | None, typer.Argument(help="partition:offset, as `list` shows them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that `list` shows.")] = False,
    value: Annotated[
        Path | None,
        typer.Option(
            "--value",
            exists=True,
            dir_okay=False,
            help="Send this file's content as the value of the one letter.",
        ),
    ] = None,
    limit: LimitOption = 1_000,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters again to the topics they came from, with their own key and headers."""
    if everything == bool(places):
        fail("name the letters by partition:offset, or say --all", EXIT_USAGE)
    if value is not None and (everything or len(places or []) != 1):
        fail("--value mends one letter: name exactly one", EXIT_USAGE)
    letters = _read(service, data, limit) if everything else _chosen(service, places or [], data)
    content = None if value is None else value.read_bytes()
    try:
        run_blocking(replay(_broker(data), letters, value=content))
    except (DeadLetterError, KafkaError, StateError, OSError) as error:
        fail(str(error) or repr(error))
    if as_json:
        answer_json({"replayed": [letter.outline() for letter in letters]})
    say(f"sent {len(letters)} again")


def _chosen(service: str, places: list[str], data: Path | None) -> list[DeadLetter]:
    try:
        wanted = [Place.parse(place) for place in places]
    except ValueError as error:
        fail(str(error), EXIT_USAGE)
    known = _known(service)
    try:
        return run_blocking(read_dead_letters_at(_broker(data), known, wanted))
    except (DeadLetterError, KafkaError, StateError, OSError) as error:
        fail(str(error) or repr(error))


def _read(service: str, data: Path | None, limit: int) -> list[DeadLetter]:
    known = _known(service)
    try:
        return run_blocking(read_dead_letters(_broker(data), known, letters_max=limit))
    except (DeadLetterError, KafkaError, StateError, OSError) as error:
        fail(str(error) or repr(error))


def _known(service: str) -> str:
    try:
        return service_named(service).name
    except ValueError as error:
        fail(str(error), EXIT_USAGE)


def _broker(data: Path | None) -> dict[str, Any]:
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or str(state_of(data).summary()["kafka"])
    return broker_options(servers)
