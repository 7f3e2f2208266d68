"""Apache Kafka as one process: broker and controller in one node (KRaft), bound to the loopback interface."""

import base64
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sluice.infrastructure.broker_client import broker_answers
from sluice.infrastructure.errors import AddressInUseError, StartError, UnavailableError
from sluice.infrastructure.java import find_java
from sluice.infrastructure.kafka_jars import FILES, find_jars
from sluice.infrastructure.ports import LOOPBACK, free_port, listens, preferred_port
from sluice.infrastructure.processes import Command, ManagedProcess
from sluice.infrastructure.say import Say

VERSION: Final = "4.3.1"
MESSAGE_BYTES_MAX: Final = 17 * 1024 * 1024
"""Topics carry values up to 16 MiB (contract.md section 1); the rest is room for key, headers and framing."""

HEAP_DEFAULT: Final = "512m"
START_SECONDS_MAX: Final = 90.0
_START_TRIES_MAX: Final = 4
_JVM: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def broker_properties(port: int, controller_port: int, logs: str) -> dict[str, str]:
    """The settings of a single node that keeps its logs in the folder `logs`."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": logs,
        **COMMON_PROPERTIES,
    }


COMMON_PROPERTIES: Final[Mapping[str, str]] = {
    "message.max.bytes": str(MESSAGE_BYTES_MAX),
    "replica.fetch.max.bytes": str(MESSAGE_BYTES_MAX),
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    "unclean.leader.election.enable": "false",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
    # A broker killed with -9 may register again only after its old session has ended (9 s by default).
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}


class ApacheKafka:
    """A broker of our own. After the first start it keeps its port, so that clients find it again after a restart."""

    is_idempotent: Final = True

    def __init__(
        self,
        folder: Path,
        run_folder: Path,
        cache: Path,
        *,
        say: Say,
        port: int | None = None,
        heap: str = HEAP_DEFAULT,
    ) -> None:
        self._folder = folder
        self._run_folder = run_folder
        self._cache = cache
        self._say = say
        self._wanted_port = port
        self._heap = heap
        self._java: Path | None = None
        self._class_path = ""
        self._process: ManagedProcess | None = None
        self.port = 0

    @property
    def description(self) -> str:
        """What it is, for the screen and for machines."""
        return f"apache-kafka {VERSION} (process)"

    @property
    def bootstrap_servers(self) -> str:
        """Where clients begin: `host:port`."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def state(self) -> str:
        """Where its data lies."""
        return str(self._folder)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None else self._process.pid

    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.is_running()

    def start(self) -> None:
        """Start it and wait until it answers; on the data it had before, if any.

        Raises UnavailableError without Java or jars, StartError if it does not come up.
        """
        self._prepare()
        for attempt in range(1, _START_TRIES_MAX + 1):
            port = self.port or preferred_port(self._wanted_port if attempt == 1 else None)
            try:
                self._start_on(port, free_port())
            except AddressInUseError:
                if attempt == _START_TRIES_MAX:
                    raise
                self._say(f"Kafka's port {port} was taken in the meantime, trying again")
            else:
                self.port = port
                return

    def stop(self) -> None:
        """End it in order; the logs are closed cleanly."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it as a crash does (kill -9); `start` brings it back on the same port with the same data."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Stop and start again."""
        self.stop()
        self.start()

    def _prepare(self) -> None:
        if self._java is None:
            self._java = find_java(self._cache, self._say)
            self._class_path = ":".join(str(jar) for jar in find_jars(self._cache, self._say))
        self._folder.mkdir(parents=True, exist_ok=True)

    def _start_on(self, port: int, controller_port: int) -> None:
        logs = self._folder / "logs"
        properties = self._folder / "server.properties"
        lines = [
            f"{key}={value}" for key, value in broker_properties(port, controller_port, str(logs)).items()
        ]
        properties.write_text("\n".join(lines) + "\n", encoding="utf-8")
        (self._folder / "log4j2.properties").write_bytes((FILES / "kafka-log4j2.properties").read_bytes())
        self._format(logs, properties)
        log = self._folder / "kafka.log"
        arguments = [*self._java_command(f"-Xmx{self._heap}", log=log), "kafka.Kafka", str(properties)]
        self._process = ManagedProcess(
            Command(name="kafka", arguments=arguments, folder=self._folder, log=log, stop_seconds=30),
            self._run_folder,
        )
        self._process.start()
        self._process.wait_until(lambda: self._answers(port), START_SECONDS_MAX)

    def _answers(self, port: int) -> bool:
        pid = self.pid
        return pid is not None and listens(pid, port) and broker_answers(f"{LOOPBACK}:{port}")

    def _format(self, logs: Path, properties: Path) -> None:
        """Give an empty log folder its identity; one that was left half formatted is made anew."""
        formatted = self._folder / "formatted"
        if formatted.exists():
            return
        shutil.rmtree(logs, ignore_errors=True)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = self._java_command("-Xmx128m", log=self._folder / "format.log")
        command += ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)]
        answer = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, timeout=120, check=False
        )
        if answer.returncode:
            raise StartError(
                f"Kafka's storage could not be formatted: {(answer.stderr or answer.stdout)[-800:]}"
            )
        formatted.write_text(cluster + "\n", encoding="utf-8")

    def _java_command(self, heap: str, *, log: Path) -> list[str]:
        if self._java is None:
            raise UnavailableError("no Java was found")
        configuration = f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}"
        return [
            str(self._java),
            heap,
            *_JVM,
            configuration,
            f"-Dkafka.logfile={log}",
            "-cp",
            self._class_path,
        ]
