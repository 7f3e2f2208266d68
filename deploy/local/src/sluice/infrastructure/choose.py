"""Which servers to stand on: those the environment names, else containers, else processes; the first that is there."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar

from sluice.infrastructure.containers import ContainerKafka, ContainerPostgres, engine_answers, volume_name
from sluice.infrastructure.environment import named_broker, named_database, named_mail
from sluice.infrastructure.errors import UnavailableError
from sluice.infrastructure.fallback_broker import FallbackBroker
from sluice.infrastructure.kafka import HEAP_DEFAULT, ApacheKafka
from sluice.infrastructure.mail import MailCatcher
from sluice.infrastructure.postgres import LocalPostgres
from sluice.infrastructure.say import Say


class BrokerChoice(StrEnum):
    """What `SLUICE_BROKER` may ask for: Apache Kafka or nothing, or the fall-back at once."""

    APACHE_KAFKA = "apache-kafka"
    FALLBACK = "fallback"


class Server(Protocol):
    """A server that can be started and stopped; one that is not ours takes both as a matter of course."""

    @property
    def description(self) -> str: ...
    @property
    def state(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def is_running(self) -> bool: ...


class Broker(Server, Protocol):
    """A Kafka broker."""

    @property
    def bootstrap_servers(self) -> str: ...
    @property
    def is_idempotent(self) -> bool: ...


class DatabaseServer(Server, Protocol):
    """A PostgreSQL server."""

    @property
    def administrator_url(self) -> str: ...


class MailServer(Server, Protocol):
    """A mail server."""

    @property
    def smtp_url(self) -> str: ...
    @property
    def page_url(self) -> str | None: ...


AnyServer = TypeVar("AnyServer", bound=Server)


@dataclass(frozen=True, slots=True)
class Wishes:
    """Where servers of our own keep their data and how they are set.

    `folder` holds their data and `run_folder` the records of their processes; `cache` is what all systems share.
    Ports are the ones to take if they are free; a missing one means any. `is_kept` says that the state is to outlive
    the system.
    """

    folder: Path
    run_folder: Path
    cache: Path
    is_kept: bool
    kafka_port: int | None = None
    postgres_port: int | None = None
    smtp_port: int | None = None
    mail_page_port: int | None = None
    kafka_heap: str = HEAP_DEFAULT
    postgres_settings: Mapping[str, str] | None = None
    broker: BrokerChoice | None = None


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """The servers that were taken; all of them run."""

    broker: Broker
    database: DatabaseServer
    mail: MailServer

    @property
    def servers(self) -> dict[str, Server]:
        """All of them by name, in the order in which they are stopped."""
        return {"mail": self.mail, "broker": self.broker, "database": self.database}

    def stop(self) -> None:
        """Stop those that are ours."""
        for server in self.servers.values():
            server.stop()


def broker_choice() -> BrokerChoice | None:
    """What `SLUICE_BROKER` asks for, None where it is not set. Raises ValueError for a word that it does not know."""
    word = os.environ.get("SLUICE_BROKER")
    if not word:
        return None
    try:
        return BrokerChoice(word)
    except ValueError:
        known = " or ".join(choice.value for choice in BrokerChoice)
        raise ValueError(f"The setting SLUICE_BROKER is wrong: {word!r} is not {known}.") from None


def start_infrastructure(wishes: Wishes, say: Say) -> Infrastructure:
    """Choose and start broker, database and mail at the same time; if one fails, the others are stopped again."""
    has_engine = (named_broker() is None or named_database() is None) and engine_answers()
    with ThreadPoolExecutor(max_workers=3, thread_name_prefix="start") as pool:
        broker = pool.submit(start_broker, wishes, say, has_engine=has_engine)
        database = pool.submit(start_database, wishes, say, has_engine=has_engine)
        mail = pool.submit(start_mail, wishes, say)
    started = (broker, database, mail)
    failures = [error for future in started if (error := future.exception()) is not None]
    if failures:
        for future in started:
            if future.exception() is None:
                future.result().stop()
        raise failures[0]
    return Infrastructure(broker.result(), database.result(), mail.result())


def start_broker(wishes: Wishes, say: Say, *, has_engine: bool) -> Broker:
    """The first broker that can be had, started. Raises UnavailableError if the one asked for cannot."""
    named = named_broker()
    if named is not None:
        return _first_that_starts("broker", [lambda: named], say)
    wanted = wishes.broker
    candidates: list[Callable[[], Broker]] = []
    if wanted is not BrokerChoice.FALLBACK:
        if has_engine:
            volume = volume_name(wishes.folder, "kafka") if wishes.is_kept else None
            candidates.append(lambda: ContainerKafka(volume=volume, port=wishes.kafka_port))
        candidates.append(
            lambda: ApacheKafka(
                wishes.folder / "kafka",
                wishes.run_folder,
                wishes.cache,
                say=say,
                port=wishes.kafka_port,
                heap=wishes.kafka_heap,
            )
        )
    if wanted is not BrokerChoice.APACHE_KAFKA:
        folder = wishes.folder / "fallback-broker"
        candidates.append(lambda: FallbackBroker(folder, wishes.run_folder, say=say, port=wishes.kafka_port))
    return _first_that_starts("broker", candidates, say)


def start_database(wishes: Wishes, say: Say, *, has_engine: bool) -> DatabaseServer:
    """The first PostgreSQL that can be had, started. Raises UnavailableError if there is none."""
    named = named_database()
    if named is not None:
        return _first_that_starts("database", [lambda: named], say)
    folder = wishes.folder / "postgres"
    candidates: list[Callable[[], DatabaseServer]] = []
    if has_engine:
        volume = volume_name(wishes.folder, "postgres") if wishes.is_kept else None
        candidates.append(lambda: ContainerPostgres(folder, volume=volume, port=wishes.postgres_port))
    candidates.append(
        lambda: LocalPostgres(
            folder, wishes.run_folder, say=say, port=wishes.postgres_port, settings=wishes.postgres_settings
        )
    )
    return _first_that_starts("database", candidates, say)


def start_mail(wishes: Wishes, say: Say) -> MailServer:
    """The mail server of the environment, else the catcher, started."""
    named = named_mail()
    if named is not None:
        return _first_that_starts("mail", [lambda: named], say)
    folder = wishes.folder / "mail"
    ports = {"smtp_port": wishes.smtp_port, "page_port": wishes.mail_page_port}
    return _first_that_starts("mail", [lambda: MailCatcher(folder, wishes.run_folder, **ports)], say)


def _first_that_starts(what: str, candidates: Sequence[Callable[[], AnyServer]], say: Say) -> AnyServer:
    reasons = []
    for make in candidates:
        try:
            server = make()
            server.start()
        except UnavailableError as error:
            reasons.append(str(error))
            say(f"{what}: {error}")
        else:
            say(f"{what}: {server.description}; state: {server.state}")
            return server
    raise UnavailableError(f"no {what}: " + "; ".join(reasons))
