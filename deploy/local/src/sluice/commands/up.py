"""`sluice up`: the whole system on this machine, in the foreground until interrupted."""

import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sluice.console import EXIT_USAGE, JsonOption, answer_json, fail, say
from sluice.infrastructure.choose import BrokerChoice, broker_choice
from sluice.infrastructure.errors import StartError, UnavailableError
from sluice.infrastructure.kafka import HEAP_DEFAULT
from sluice.services import SERVICES
from sluice.state import State, StateError
from sluice.system import ANY_PORTS, USUAL_PORTS, Options, System, SystemBusyError, take_system
from sluice.tokens import OPERATOR, address_of
from sluice.topics import TopicError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Keep the state in this folder; a later `up` on it goes on with it."),
    ] = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Free ports and a new folder, which is removed at the end.")
    ] = False,
    broker: Annotated[
        BrokerChoice | None,
        typer.Option(
            "--broker",
            help="Apache Kafka or nothing, or the fall-back; else SLUICE_BROKER, else what is there.",
        ),
    ] = None,
    kafka_heap: Annotated[
        str, typer.Option("--kafka-heap", help="Kafka's heap, as Java writes it.")
    ] = HEAP_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Run the whole system on this machine until interrupted.

    With --json, one line of JSON is written as soon as everything is ready.
    """
    if ephemeral and data is not None:
        fail("--ephemeral takes a new folder; it cannot be given one with --data", EXIT_USAGE)
    try:
        options = Options(broker=broker or broker_choice(), kafka_heap=kafka_heap)
    except ValueError as error:
        fail(str(error), EXIT_USAGE)
    try:
        system = take_system(
            None if data is None else State(data),
            ports=ANY_PORTS if ephemeral else USUAL_PORTS,
            is_ephemeral=ephemeral,
            options=options,
            say=say,
        )
    except (SystemBusyError, StateError, OSError) as error:
        fail(str(error))
    run(system, as_json=as_json)


def run(system: System, *, as_json: bool) -> None:
    """Start the system, tell that it is ready, watch it until a signal comes, and stop it."""
    stopping = threading.Event()
    _on_signals(_interrupt)
    try:
        with system:
            # From here on a signal ends the watch in order, instead of breaking into whatever is being done.
            _on_signals(lambda *_: stopping.set())
            if as_json:
                answer_json(system.summary())
            else:
                token = system.token(user=OPERATOR, email=address_of(OPERATOR))
                for line in where_to_look(system.summary(), token):
                    say(line)
            say("ready; Ctrl-C ends it")
            system.watch(stopping)
            say("stopping")
    except KeyboardInterrupt:
        fail("interrupted while starting; what was started has been stopped")
    except (StartError, UnavailableError, TopicError) as error:
        fail(str(error))
    say("stopped" if not system.is_ephemeral else "stopped, nothing left behind")


def where_to_look(summary: Mapping[str, Any], token: str) -> list[str]:
    """What somebody who has just started the system wants to open, and the token that they need for it."""
    pages = {service.name: f"{summary[service.module]}/docs" for service in SERVICES}
    if summary["mail_page"] is not None:
        pages["mails"] = summary["mail_page"]
    return [
        "",
        "Where to look:",
        *(f"  {name:<21} {address}" for name, address in pages.items()),
        f"A token with every scope, good for 8 hours, whose user is {OPERATOR} (`sluice token` makes others):",
        f"  {token}",
        "",
    ]


def _on_signals(handler: signal.Handlers | object) -> None:
    for number in _SIGNALS:
        signal.signal(number, handler)  # type: ignore[arg-type]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
