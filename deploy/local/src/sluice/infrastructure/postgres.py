"""PostgreSQL as one process of our own: TCP on the loopback interface, SCRAM passwords, never as root."""

import hashlib
import os
import secrets
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg

from sluice.infrastructure.accounts import reaches, unprivileged_account
from sluice.infrastructure.blocking import run_blocking
from sluice.infrastructure.errors import AddressInUseError, StartError
from sluice.infrastructure.ports import LOOPBACK, preferred_port
from sluice.infrastructure.postgres_programs import Programs, find_programs, reachable_programs
from sluice.infrastructure.processes import Account, Command, ManagedProcess
from sluice.infrastructure.say import Say

ADMINISTRATOR: Final = "postgres"
DATABASE: Final = "sluice"
START_SECONDS_MAX: Final = 60.0
FOR_MANY_WRITES: Final[Mapping[str, str]] = {"shared_buffers": "512MB", "max_wal_size": "2GB"}
"""What PostgreSQL is too modest about by itself: a billing run of 100,000 documents writes some gigabytes."""

FAST_AND_FORGETFUL: Final[Mapping[str, str]] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}
"""Settings for tests only: what was committed may be lost with the machine. Never for figures or fault tests."""

_START_TRIES_MAX: Final = 4
_BUILTIN_LOCALE_SINCE: Final = 17
_FOR_SERVERS: Final = Path("/var/lib")


class LocalPostgres:
    """A server of our own. After the first start it keeps its port, so that clients find it again after a restart."""

    def __init__(
        self,
        base: Path,
        run_folder: Path,
        *,
        say: Say,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._base = base
        self._run_folder = run_folder
        self._say = say
        self._wanted_port = port
        self._settings = settings or {}
        self._account: Account | None = None
        self._programs: Programs | None = None
        self._version = ""
        self._process: ManagedProcess | None = None
        self.port = 0

    @property
    def description(self) -> str:
        """What it is, for the screen and for machines."""
        source = "" if self._programs is None else f", {self._programs.source}"
        return f"postgresql {self._version} (process{source})"

    @property
    def state(self) -> str:
        """Where its data lies."""
        return str(self._base)

    @property
    def administrator_url(self) -> str:
        """The address of the database `sluice` for the administrator, with the password."""
        password = (self._base / "administrator.password").read_text(encoding="utf-8").strip()
        return f"postgresql://{ADMINISTRATOR}:{password}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None else self._process.pid

    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.is_running()

    def start(self) -> None:
        """Start it and wait until it takes connections; on the data it had before, if any.

        Raises UnavailableError without programs or an account to run as, StartError if it does not come up.
        """
        self._prepare()
        for attempt in range(1, _START_TRIES_MAX + 1):
            port = self.port or preferred_port(self._wanted_port if attempt == 1 else None)
            try:
                self._start_on(port)
            except AddressInUseError:
                if attempt == _START_TRIES_MAX:
                    raise
                self._say(f"PostgreSQL's port {port} was taken in the meantime, trying again")
            else:
                self.port = port
                run_blocking(_ensure_database(self.administrator_url))
                return

    def stop(self) -> None:
        """End it in order: sessions are closed, everything is on disk."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it as a crash does (kill -9); `start` brings it back on the same port and recovers its data."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Stop and start again."""
        self.stop()
        self.start()

    def _prepare(self) -> None:
        if self._programs is not None:
            return
        self._account = unprivileged_account()
        self._base = self._reachable_base()
        self._programs = reachable_programs(find_programs(), self._base, self._account)
        self._version = self._programs.version(folder=self._base, account=self._account)
        self._initialise(self._programs)

    def _reachable_base(self) -> Path:
        """The data's folder, owned by the account: under root's home it would be out of reach, so it goes elsewhere.

        Where it went is written beside, so that whoever removes the state removes it too.
        """
        base = self._base
        base.parent.mkdir(parents=True, exist_ok=True)
        if self._account is not None and not reaches(self._account, base.parent, read=False):
            digest = hashlib.sha256(str(base).encode()).hexdigest()[:16]
            (base.parent / "elsewhere").write_text(
                str(elsewhere := _FOR_SERVERS / "sluice" / digest), encoding="utf-8"
            )
            base = elsewhere
            base.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        base.mkdir(mode=0o700, exist_ok=True)
        owners = {os.geteuid()} if self._account is None else {os.geteuid(), self._account.user}
        if base.stat().st_uid not in owners:
            raise StartError(f"{base} belongs to somebody else")
        self._give(base)
        return base

    def _give(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.user, self._account.group)

    def _initialise(self, programs: Programs) -> None:
        data, finished = self._base / "data", self._base / "initialised"
        if finished.exists():
            return
        shutil.rmtree(data, ignore_errors=True)  # initdb may have been interrupted
        password = self._base / "administrator.password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
        self._give(password)
        locale = ["--locale=C.UTF-8"]
        if int(self._version.split(".")[0]) >= _BUILTIN_LOCALE_SINCE:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        # Without waiting for the disk: as long as no data of ours is in it, a crash costs nothing but a new start.
        arguments = [
            "-D",
            str(data),
            "-U",
            ADMINISTRATOR,
            "-E",
            "UTF8",
            *locale,
            "--no-sync",
            f"--pwfile={password}",
        ]
        arguments += ["--auth-local=scram-sha-256", "--auth-host=scram-sha-256"]
        programs.run("initdb", *arguments, folder=self._base, account=self._account)
        finished.touch()

    def _start_on(self, port: int) -> None:
        assert self._programs is not None
        data = self._base / "data"
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            "log_min_messages": "warning",
            "max_connections": "200",
            **FOR_MANY_WRITES,
            **self._settings,
        }
        arguments = [str(self._programs.home / "bin" / "postgres"), "-D", str(data)]
        arguments += [f"--{name}={value}" for name, value in settings.items()]
        command = Command(
            name="postgres",
            arguments=arguments,
            folder=self._base,
            log=self._base / "postgres.log",
            account=self._account,
            stop_signal=signal.SIGINT,  # "fast": sessions are closed, nothing is lost
            kill_signal=signal.SIGQUIT,  # "immediate": unlike SIGKILL it takes its shared memory with it
        )
        self._process = ManagedProcess(command, self._run_folder)
        self._process.start()
        self._process.wait_until(self._is_ready, START_SECONDS_MAX)

    def _is_ready(self) -> bool:
        """The eighth line of postmaster.pid says `ready`, in a file that this very process wrote."""
        try:
            lines = (self._base / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"


async def _ensure_database(url: str) -> None:
    connection = await asyncpg.connect(url.rsplit("/", 1)[0] + "/postgres")
    try:
        if not await connection.fetchval("select true from pg_database where datname = $1", DATABASE):
            await connection.execute(f"create database {DATABASE}")
    finally:
        await connection.close()
