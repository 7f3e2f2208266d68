"""Servers in containers, where a Docker engine answers: the same Apache Kafka and PostgreSQL, by Testcontainers.

Each gets a port of the host that stays the same over restarts, and a named volume where its state is to be kept.
"""

import contextlib
import hashlib
import secrets
import time
from pathlib import Path
from typing import Final

import asyncpg
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient, get_docker_host

from sluice.infrastructure.blocking import run_blocking
from sluice.infrastructure.broker_client import broker_answers
from sluice.infrastructure.errors import StartError, UnavailableError
from sluice.infrastructure.kafka import COMMON_PROPERTIES
from sluice.infrastructure.ports import preferred_port
from sluice.infrastructure.postgres import FOR_MANY_WRITES

_KAFKA_IMAGE: Final = "apache/kafka:4.3.1"
_POSTGRES_IMAGE: Final = "postgres:18"
_ENGINE_SECONDS_MAX: Final = 3
_LOCAL_ENGINE: Final = "unix:///var/run/docker.sock"
_START_SECONDS_MAX: Final = 120.0
_POLL_SECONDS: Final = 0.1


def engine_answers() -> bool:
    """Whether a Docker engine answers."""
    try:
        address = get_docker_host() or _LOCAL_ENGINE
        if address.startswith("unix://") and not Path(address.removeprefix("unix://")).is_socket():
            return False  # Docker's client would leave open what it could not connect
        with contextlib.closing(DockerClient(timeout=_ENGINE_SECONDS_MAX).client) as engine:
            return bool(engine.ping())
    except Exception:  # noqa: BLE001 - without an engine each way of reaching one fails in its own fashion
        return False


class _Container:
    """One container with one published port."""

    def __init__(
        self, image: str, inner_port: int, volume: str | None, volume_at: str, wanted_port: int | None
    ) -> None:
        self.image = image
        self.state = f"docker volume {volume}" if volume else "in the container"
        self.port = preferred_port(wanted_port)
        self._container = DockerContainer(image).with_bind_ports(inner_port, self.port)
        if volume:
            self._container.with_volume_mapping(volume, volume_at, "rw")
        self._is_made = False

    @property
    def description(self) -> str:
        """What it is, for the screen and for machines."""
        return f"{self.image} (container)"

    @property
    def host(self) -> str:
        """Where the engine publishes ports."""
        return str(self._container.get_container_host_ip()) if self._is_made else "127.0.0.1"

    def is_running(self) -> bool:
        """Whether the container runs."""
        if not self._is_made:
            return False
        self._container.reload()
        return bool(self._container.status == "running")

    def start(self) -> None:
        """Make the container, or start it again, and wait until it answers.

        Raises UnavailableError if the image cannot be had, StartError if it does not answer in time.
        """
        try:
            if self._is_made:
                self._container.get_wrapped_container().start()
            else:
                self._container.start()
                self._is_made = True
        except Exception as error:  # Docker, the registry and the network each raise their own
            raise UnavailableError(f"{self.image}: {error}") from error
        end = time.monotonic() + _START_SECONDS_MAX
        while not self._answers():
            if time.monotonic() > end:
                self.stop()
                raise StartError(f"{self.image} was not ready within {_START_SECONDS_MAX:.0f} s")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop and remove the container; a named volume stays."""
        if self._is_made:
            self._container.stop(delete_volume=False)
            self._is_made = False

    def kill(self) -> None:
        """End it as a crash does; `start` brings the same container back."""
        if self._is_made:
            self._container.get_wrapped_container().kill()

    def restart(self) -> None:
        """Kill-free stop of the server inside, and start again."""
        self._container.get_wrapped_container().stop()
        self.start()

    def _answers(self) -> bool:
        raise StartError(f"{self.image} has no check")


class ContainerKafka(_Container):
    """Apache Kafka in a container."""

    is_idempotent: Final = True

    def __init__(self, *, volume: str | None, port: int | None) -> None:
        super().__init__(_KAFKA_IMAGE, 9092, volume, "/var/lib/kafka/data", port)
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": "1@localhost:9093",
            "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": "/var/lib/kafka/data",
            **COMMON_PROPERTIES,
        }
        for key, value in properties.items():
            self._container.with_env("KAFKA_" + key.upper().replace(".", "_"), value)

    @property
    def bootstrap_servers(self) -> str:
        """Where clients begin: `host:port`."""
        return f"{self.host}:{self.port}"

    def _answers(self) -> bool:
        return broker_answers(self.bootstrap_servers)


class ContainerPostgres(_Container):
    """PostgreSQL in a container; the password lies in the state folder, since the volume outlives the container."""

    def __init__(self, folder: Path, *, volume: str | None, port: int | None) -> None:
        super().__init__(_POSTGRES_IMAGE, 5432, volume, "/var/lib/postgresql", port)
        folder.mkdir(parents=True, exist_ok=True)
        secret = folder / "container.password"
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        self._password = secret.read_text(encoding="utf-8").strip()
        self._container.with_env("POSTGRES_PASSWORD", self._password).with_env("POSTGRES_DB", "sluice")
        self._container.with_command(
            ["postgres", *(f"--{name}={value}" for name, value in FOR_MANY_WRITES.items())]
        )

    @property
    def administrator_url(self) -> str:
        """The address of the database `sluice` for the administrator, with the password."""
        return f"postgresql://postgres:{self._password}@{self.host}:{self.port}/sluice"

    def _answers(self) -> bool:
        async def answers() -> bool:
            try:
                connection = await asyncpg.connect(self.administrator_url, timeout=5)
            except (asyncpg.PostgresError, OSError, TimeoutError):
                return False
            await connection.close()
            return True

        return run_blocking(answers())


def volume_name(data: Path, server: str) -> str:
    """The volume that keeps a server's state for the systems of this data folder."""
    return f"sluice-{hashlib.sha256(str(data).encode()).hexdigest()[:12]}-{server}"
