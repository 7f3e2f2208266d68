"""Child processes: started in sessions of their own, remembered in files, stopped by pid and start time only."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from sluice.infrastructure.errors import AddressInUseError, StartError

POLL_SECONDS: Final = 0.03
KILL_WAIT_SECONDS: Final = 10.0
_START_TIME_TOLERANCE_SECONDS: Final = 1.0
_LOG_TAIL_BYTES: Final = 1500


@dataclass(frozen=True, slots=True)
class Account:
    """A user that a process started by root becomes: numeric user and group ids."""

    user: int
    group: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to start, and how to stop it.

    `stop_signal` asks it to end; after `stop_seconds` it is killed. `kill_signal` is what ends it at once.
    """

    name: str
    arguments: Sequence[str]
    folder: Path
    log: Path
    environment: Mapping[str, str] | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    kill_signal: signal.Signals = signal.SIGKILL
    stop_seconds: float = 20.0


class ManagedProcess:
    """One child process and the file in `run_folder` by which a later command finds it again."""

    def __init__(self, command: Command, run_folder: Path) -> None:
        self.command = command
        self._record = run_folder / f"{command.name}.json"
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self._child is not None and self.is_running() else None

    def is_running(self) -> bool:
        """Whether the child is there (a finished one is collected)."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start the child; its output is appended to the log. Raises StartError if it cannot be started."""
        command = self.command
        account = command.account
        with command.log.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._child = subprocess.Popen(
                    list(command.arguments),
                    cwd=command.folder,
                    env=None if command.environment is None else dict(command.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    user=None if account is None else account.user,
                    group=None if account is None else account.group,
                    extra_groups=None if account is None else [],
                )
            except OSError as error:
                raise StartError(f"{command.name} could not be started: {error}") from error
        with contextlib.suppress(psutil.Error):
            _write_record(self._record, psutil.Process(self._child.pid), command)

    def wait_until(self, is_ready: Callable[[], bool], limit_seconds: float) -> None:
        """Wait until the child is ready; a child that is not is stopped.

        Raises AddressInUseError or StartError, with the end of the log, as soon as it exits or when the limit is over.
        """
        end = time.monotonic() + limit_seconds
        while time.monotonic() < end:
            if not self.is_running():
                code = self._child.returncode if self._child is not None else None
                self._forget()
                raise self._failure(f"{self.command.name} ended with exit code {code}")
            if is_ready():
                return
            time.sleep(POLL_SECONDS)
        self.stop()
        raise self._failure(f"{self.command.name} was not ready within {limit_seconds:.0f} s")

    def log_since_start(self) -> str:
        """What the child has written since its last start, at most the last 1,500 bytes."""
        try:
            with self.command.log.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, log.tell() - _LOG_TAIL_BYTES))
                return log.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def _failure(self, what: str) -> StartError:
        tail = self.log_since_start()
        kind = AddressInUseError if "address already in use" in tail.lower() else StartError
        return kind(f"{what}; {self.command.log}:\n{tail}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the child itself, if it runs."""
        if self._child is not None and self.is_running():
            self._child.send_signal(number)

    def stop(self) -> None:
        """Ask the child to end, kill it when it does not; returns when it is gone."""
        self.send(self.command.stop_signal)
        if not self._wait(self.command.stop_seconds):
            self.kill()
        self._forget()

    def kill(self) -> None:
        """End the child at once (kill -9) and collect it."""
        self.send(signal.SIGKILL)
        self._wait(KILL_WAIT_SECONDS)
        self._forget()

    def _wait(self, limit_seconds: float) -> bool:
        if self._child is None:
            return True
        try:
            self._child.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _forget(self) -> None:
        self._record.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A process remembered in a file: it is ours only while pid and start time are those that were written down."""

    record: Path
    name: str
    pid: int
    started: float
    stop_signal: int
    kill_signal: int
    stop_seconds: float

    def process(self) -> psutil.Process | None:
        """The process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) <= _START_TIME_TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def _write_record(path: Path, process: psutil.Process, command: Command) -> None:
    text = json.dumps(
        {
            "name": command.name,
            "pid": process.pid,
            "started": process.create_time(),
            "stop_signal": int(command.stop_signal),
            "kill_signal": int(command.kill_signal),
            "stop_seconds": command.stop_seconds,
        }
    )
    unfinished = path.with_suffix(".new")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def leftovers(run_folder: Path) -> list[Leftover]:
    """What earlier commands started and did not stop, the newest first; unreadable records are taken away."""
    found = []
    for path in run_folder.glob("*.json"):
        try:
            found.append(Leftover(record=path, **json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            path.unlink(missing_ok=True)
    return sorted(found, key=lambda leftover: -leftover.started)


def end_leftovers(found: Sequence[Leftover]) -> list[str]:
    """Stop these processes, and nothing else, one after the other; returns the names of those that still ran."""
    ended = []
    for leftover in found:
        process = leftover.process()
        if process is not None:
            ended.append(leftover.name)
            _end(leftover, process)
        leftover.record.unlink(missing_ok=True)
    return ended


def _end(leftover: Leftover, process: psutil.Process) -> None:
    for number, limit_seconds in (
        (leftover.stop_signal, leftover.stop_seconds),
        (leftover.kill_signal, KILL_WAIT_SECONDS),
    ):
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
        end = time.monotonic() + limit_seconds
        while time.monotonic() < end:
            if leftover.process() is None:
                return
            time.sleep(POLL_SECONDS)
