"""The whole system on this machine: servers, topics, schemas and the four services, started and stopped together."""

import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import psutil

from shared.database.migrations import role_of
from sluice import tokens
from sluice.broker_options import broker_options
from sluice.databases import migrate_services
from sluice.folders import user_cache
from sluice.guardian import Guardian
from sluice.infrastructure.blocking import run_blocking
from sluice.infrastructure.choose import BrokerChoice, Infrastructure, Server, Wishes, start_infrastructure
from sluice.infrastructure.errors import StartError, UnavailableError
from sluice.infrastructure.kafka import HEAP_DEFAULT
from sluice.infrastructure.locks import FileLock
from sluice.infrastructure.processes import end_leftovers, leftovers
from sluice.infrastructure.say import Say
from sluice.service_process import ServiceProcess
from sluice.services import SERVICES
from sluice.state import State, default_states, ephemeral_state
from sluice.topics import make_topics, read_topics

WATCH_SECONDS: Final = 0.2


class SystemBusyError(RuntimeError):
    """Another system runs on this state."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports to take where they are free; None means any."""

    kafka: int | None = None
    postgres: int | None = None
    smtp: int | None = None
    mail_page: int | None = None
    are_usual: bool = False


# It lets the first member of a group wait for half a session, and every line is a group.
_FALLBACK_BROKER_SETTINGS: Final = {"KAFKA_SESSION_TIMEOUT_SECONDS": "6"}

_LINKED: Final = "release"
"""The service that links lead to, where nothing stands in front of all four."""

USUAL_PORTS: Final = Ports(kafka=9092, postgres=5432, smtp=1025, mail_page=8025, are_usual=True)
ANY_PORTS: Final = Ports()


@dataclass(frozen=True, slots=True)
class Options:
    """How a system is set up. `settings` are added to every service's environment (contract.md section 4)."""

    broker: BrokerChoice | None = None
    kafka_heap: str = HEAP_DEFAULT
    postgres_settings: Mapping[str, str] | None = None
    settings: Mapping[str, str] | None = None
    replication_factor: int = 1


class System:
    """A running system. Use it as a context manager: what it starts is stopped at the end, whatever happens."""

    def __init__(
        self, state: State, lock: FileLock, *, ports: Ports, is_ephemeral: bool, options: Options, say: Say
    ) -> None:
        self.state = state
        self._lock = lock
        self._ports = ports
        self._is_ephemeral = is_ephemeral
        self._options = options
        self._say = say
        self._guardian: Guardian | None = None
        self._infrastructure: Infrastructure | None = None
        self._paused: set[str] = set()
        self.services = {
            service.name: ServiceProcess(
                service,
                run_folder=state.run,
                logs=state.logs,
                port=service.port if ports.are_usual else None,
            )
            for service in SERVICES
        }

    @property
    def infrastructure(self) -> Infrastructure:
        """The servers it stands on. Raises StartError before they were started."""
        if self._infrastructure is None:
            raise StartError("the system has not been started")
        return self._infrastructure

    def start(self) -> None:
        """Start everything and wait until every service is ready.

        Raises UnavailableError or StartError if something cannot be had or does not come up; `stop` is still due.
        """
        self._say(f"state: {self.state.data}")
        ended = end_leftovers(leftovers(self.state.run))
        if ended:
            self._say(f"stopped what an earlier run had left behind: {', '.join(ended)}")
        self._guardian = Guardian(self.state, removes_state=self._is_ephemeral)
        tokens.ensure_key(self.state)
        self._infrastructure = start_infrastructure(self._wishes(), self._say)
        self._prepare_servers()
        self._start_services()
        self.state.write_summary(self.summary())
        self.state.remember()

    @property
    def is_ephemeral(self) -> bool:
        """Whether it leaves nothing behind."""
        return self._is_ephemeral

    def stop(self) -> None:
        """Stop everything that was started, the services first; an ephemeral state is removed."""
        with ThreadPoolExecutor(max_workers=len(self.services)) as pool:
            list(pool.map(ServiceProcess.stop, reversed(self.services.values())))
        if self._infrastructure is not None:
            self._infrastructure.stop()
        # Whoever was interrupted while starting may have started more than it could tell.
        end_leftovers(leftovers(self.state.run))
        if self._guardian is not None:
            self._guardian.dismiss()
        if self._is_ephemeral:
            self.state.remove()
        self._lock.release()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def watch(self, stopping: threading.Event) -> None:
        """Start again what dies, until asked to stop."""
        while not stopping.wait(WATCH_SECONDS):
            for name, service in self.services.items():
                if name not in self._paused:
                    service.watch(self._say)
            for name, server in self.infrastructure.servers.items():
                if name not in self._paused and not server.is_running():
                    self._revive(name, server)

    def pause_watch(self, name: str) -> None:
        """Leave a service, or a server (`mail`, `broker`, `database`), dead when it dies; for fault tests."""
        self._paused.add(name)

    def resume_watch(self, name: str) -> None:
        """Watch it again."""
        self._paused.discard(name)

    def token(
        self, *, user: str = tokens.OPERATOR, scopes: tuple[str, ...] = tokens.SCOPES, **claims: Any
    ) -> str:
        """A bearer token that this system's services take; see sluice.tokens.make_token."""
        return tokens.make_token(self.state, user=user, scopes=scopes, **claims)

    def summary(self) -> dict[str, Any]:
        """What `up --json` prints (contract.md section 3)."""
        servers = self.infrastructure
        return {
            "data": str(self.state.data),
            "kafka": servers.broker.bootstrap_servers,
            "database_url": servers.database.administrator_url,
            **{process.service.module: process.url for process in self.services.values()},
            "smtp": servers.mail.smtp_url,
            "mail_page": servers.mail.page_url,
            "infrastructure": {
                "broker": servers.broker.description,
                "database": servers.database.description,
                "mail": servers.mail.description,
            },
        }

    def _revive(self, name: str, server: Server) -> None:
        self._say(f"the {name} ({server.description}) has died; starting it again")
        try:
            server.start()
        except (StartError, UnavailableError) as error:
            self._say(f"{name}: {error}")

    def _wishes(self) -> Wishes:
        return Wishes(
            folder=self.state.data,
            run_folder=self.state.run,
            cache=user_cache(),
            is_kept=not self._is_ephemeral,
            kafka_port=self._ports.kafka,
            postgres_port=self._ports.postgres,
            smtp_port=self._ports.smtp,
            mail_page_port=self._ports.mail_page,
            kafka_heap=self._options.kafka_heap,
            postgres_settings=self._options.postgres_settings,
            broker=self._options.broker,
        )

    def _passwords(self) -> dict[str, str]:
        return self.state.passwords([role_of(service.module) for service in SERVICES])

    def _prepare_servers(self) -> None:
        servers = self.infrastructure
        run_blocking(migrate_services(servers.database.administrator_url, self._passwords()))
        made = run_blocking(
            make_topics(
                broker_options(servers.broker.bootstrap_servers),
                read_topics(),
                replication_factor=self._options.replication_factor,
            )
        )
        if made:
            self._say(f"made {len(made)} topics")

    def _start_services(self) -> None:
        def start(process: ServiceProcess) -> None:
            process.start(self._environment(process))
            self._say(f"{process.service.name}: {process.url} (log: {process.log})")

        self.services[_LINKED].take_port()
        with ThreadPoolExecutor(max_workers=len(self.services)) as pool:
            list(pool.map(start, self.services.values()))

    def _environment(self, process: ServiceProcess) -> dict[str, str]:
        servers = self.infrastructure
        role = role_of(process.service.module)
        administrator = urlsplit(servers.database.administrator_url)
        host = administrator.netloc.rpartition("@")[2]
        database_url = administrator._replace(netloc=f"{role}:{self._passwords()[role]}@{host}").geturl()
        given = {
            "BUSINESS_TIMEZONE": "UTC",
            "MAIL_FROM": "sluice@localhost",
            "PUBLIC_URL": self.services[_LINKED].url,
            "OPERATORS": tokens.address_of(tokens.OPERATOR),
            "SUPPORT_CONTACT": "support@localhost",
            **({} if servers.broker.is_idempotent else _FALLBACK_BROKER_SETTINGS),
            **os.environ,
        }
        own = {
            "KAFKA_BOOTSTRAP_SERVERS": servers.broker.bootstrap_servers,
            "KAFKA_IDEMPOTENT_PRODUCER": "true" if servers.broker.is_idempotent else "false",
            "DATABASE_URL": database_url,
            "SMTP_URL": servers.mail.smtp_url,
            "OIDC_ISSUER": tokens.issuer(self.state),
            "OIDC_AUDIENCE": tokens.AUDIENCE,
            "OIDC_JWKS_URL": self.state.key_set.as_uri(),
            "PYTHONUNBUFFERED": "1",
        }
        return {**given, **own, **(self._options.settings or {})}


def take_system(
    state: State | None,
    *,
    ports: Ports = USUAL_PORTS,
    is_ephemeral: bool = False,
    options: Options | None = None,
    say: Say,
) -> System:
    """A system on this state, not yet started; without one on the first default state that no system uses.

    Raises SystemBusyError if another system runs on it, StateError if the folder is not ours.
    """
    candidates = [ephemeral_state()] if is_ephemeral else default_states() if state is None else [state]
    for candidate in candidates:
        candidate.prepare()
        lock = _take(candidate)
        if lock is not None:
            return System(
                candidate, lock, ports=ports, is_ephemeral=is_ephemeral, options=options or Options(), say=say
            )
    raise SystemBusyError(f"another system runs on {candidates[-1].data}; `sluice down --data DIR` ends it")


def _take(state: State) -> FileLock | None:
    """The state's lock, after waiting for a guardian that cleans up after a dead system; None if a system holds it."""
    lock = FileLock(state.lock)
    if not lock.acquire(wait=False):
        holder = lock.read()
        if holder.isdecimal() and psutil.pid_exists(int(holder)):
            return None
        lock.acquire(wait=True)
        state.prepare()
    lock.write(str(os.getpid()))
    return lock
