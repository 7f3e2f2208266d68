"""A system's state on this machine: one folder with its data, secrets, logs, and the records of its processes."""

import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sluice.folders import is_ours, user_state

_LAST: Final = "last-started"
_NUMBERED_MAX: Final = 20


class StateError(RuntimeError):
    """There is no such state, or it is not usable."""


class State:
    """The folder of one system. `State(folder)` does not touch the disk; `prepare` makes what is missing."""

    def __init__(self, data: Path) -> None:
        self.data = data.absolute()
        self.run = self.data / "run"
        self.logs = self.data / "logs"
        self.lock = self.data / "lock"
        self.signing_key = self.data / "signing-key.pem"
        self.key_set = self.data / "jwks.json"
        self._summary = self.data / "system.json"
        self._passwords = self.data / "passwords.json"

    def prepare(self) -> None:
        """Make the folders. Raises StateError if the place is somebody else's."""
        if not is_ours(self.data):
            raise StateError(f"{self.data} cannot be used: it must be a folder that belongs to you")
        # Entered by the account that PostgreSQL runs as; every file in it has its own mode. A folder that was there
        # before may be used by others, too, and keeps what they may do in it.
        self.data.chmod(stat.S_IMODE(self.data.stat().st_mode) | 0o111)
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def passwords(self, names: list[str]) -> dict[str, str]:
        """The passwords of these roles, made at random the first time."""
        known: dict[str, str] = (
            json.loads(self._passwords.read_text("utf-8")) if self._passwords.exists() else {}
        )
        missing = [name for name in names if name not in known]
        if missing:
            known |= {name: secrets.token_urlsafe(24) for name in missing}
            write_secret(self._passwords, json.dumps(known).encode())
        return {name: known[name] for name in names}

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Keep what `up` tells, for later commands; it holds an address with a password."""
        write_secret(self._summary, json.dumps(dict(summary)).encode())

    def summary(self) -> dict[str, Any]:
        """What the system last told when it came up. Raises StateError if none ever did here."""
        try:
            summary: dict[str, Any] = json.loads(self._summary.read_text("utf-8"))
        except OSError:
            raise StateError(f"no system has been started in {self.data}") from None
        return summary

    def remember(self) -> None:
        """Make this the last one started."""
        (user_state() / _LAST).write_text(str(self.data), encoding="utf-8")

    def remove(self) -> None:
        """Take the folder away, and what had to be kept elsewhere for it."""
        elsewhere = self.data / "elsewhere"
        if elsewhere.exists():
            shutil.rmtree(elsewhere.read_text("utf-8"), ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    unfinished.replace(path)


def ephemeral_state() -> State:
    """A new folder of our own for a system that leaves nothing behind."""
    return State(Path(tempfile.mkdtemp(prefix="sluice-")))


def default_states() -> list[State]:
    """Where a system keeps its state if it is not told: the first of these that no other system uses."""
    return [State(user_state() / f"system-{number}") for number in range(1, _NUMBERED_MAX + 1)]


def state_of(data: Path | None) -> State:
    """The state in this folder, or of the last system started by this user. Raises StateError if there is none."""
    if data is None:
        last = user_state() / _LAST
        if not last.exists():
            raise StateError("no system was started here yet; start one with `sluice up`")
        data = Path(last.read_text("utf-8"))
    state = State(data)
    if not state.data.is_dir():
        raise StateError(f"{state.data} is gone: the system that kept its state there has ended")
    return state
