"""One service as a process: started, watched until it is ready, started again when it dies."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx

from shared.backoff import Backoff
from sluice.infrastructure.errors import AddressInUseError
from sluice.infrastructure.ports import LOOPBACK, listens, preferred_port
from sluice.infrastructure.processes import Command, ManagedProcess
from sluice.infrastructure.say import Say
from sluice.services import LocalService

READY_SECONDS_MAX: Final = 120.0
STOP_SECONDS_MAX: Final = 30.0
_START_TRIES_MAX: Final = 4
_BACKOFF_SECONDS_FIRST: Final = 0.5
_BACKOFF_SECONDS_MAX: Final = 30.0
_STEADY_SECONDS: Final = 60.0


class ServiceProcess:
    """A service of the system. After the first start it keeps its port."""

    def __init__(self, service: LocalService, *, run_folder: Path, logs: Path, port: int | None) -> None:
        self.service = service
        self.log = logs / f"{service.name}.log"
        self._run_folder = run_folder
        self._wanted_port = port
        self._environment: Mapping[str, str] = {}
        self._process: ManagedProcess | None = None
        self._started_at = 0.0
        self._backoff = Backoff(_BACKOFF_SECONDS_FIRST, _BACKOFF_SECONDS_MAX)
        self._again_at: float | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None else self._process.pid

    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.is_running()

    def take_port(self) -> None:
        """Choose the port before the start, for whoever has to tell of it."""
        self.port = self.port or preferred_port(self._wanted_port)

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it with this environment (its own address is added) and wait until it is ready.

        Raises StartError, with the end of its log, if it does not become ready.
        """
        self._environment = environment
        for attempt in range(1, _START_TRIES_MAX + 1):
            self.port = self.port or preferred_port(self._wanted_port if attempt == 1 else None)
            try:
                self._spawn().wait_until(self._is_ready, READY_SECONDS_MAX)
            except AddressInUseError:
                if attempt == _START_TRIES_MAX:
                    raise
                self.port = 0
            else:
                return

    def start_again(self) -> None:
        """Start it as it was started before, after it was stopped."""
        self.start(self._environment)

    def watch(self, say: Say) -> None:
        """Start it again if it has died, with a back-off that grows while it keeps dying. Called again and again."""
        if self.is_running():
            return
        now = time.monotonic()
        if self._again_at is None:
            if now - self._started_at > _STEADY_SECONDS:
                self._backoff.succeeded()
            wait_seconds = self._backoff.failed()
            self._again_at = now + wait_seconds
            say(f"{self.service.name} has died; starting it again in {wait_seconds:.1f} s ({self.log})")
        elif now >= self._again_at:
            self._again_at = None
            self._spawn()

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it as a crash does (kill -9); the system's watch starts it again."""
        if self._process is not None:
            self._process.kill()

    def is_ready(self) -> bool:
        """Whether it runs and says that it is ready, none of its parts degraded: messages go through it too."""
        return self.is_running() and self._is_ready()

    def _spawn(self) -> ManagedProcess:
        own = {"HTTP_HOST": LOOPBACK, "HTTP_PORT": str(self.port), "INSTANCE_ID": f"{self.service.name}-1"}
        command = Command(
            name=self.service.name,
            arguments=[sys.executable, "-m", self.service.module],
            folder=self.log.parent,
            log=self.log,
            environment={**self._environment, **own},
            stop_seconds=STOP_SECONDS_MAX,
        )
        process = ManagedProcess(command, self._run_folder)
        process.start()
        self._process = process
        self._started_at = time.monotonic()
        return process

    def _is_ready(self) -> bool:
        pid = self.pid
        if pid is None or not listens(pid, self.port):
            return False
        try:
            answer = httpx.get(f"{self.url}/health/ready", timeout=5, trust_env=False)
            return bool(answer.json()["status"] == "ready")
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return False
