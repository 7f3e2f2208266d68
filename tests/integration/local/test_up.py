"""`sluice up` and `down`, with stand-ins for the services: what is started is stopped, and nothing else."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from sluice.services import SERVICES
from support.waiting import wait_for

STAND_IN = """
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = {"status": "ready", "pid": os.getpid(), "environment": dict(os.environ)}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
http.server.ThreadingHTTPServer((os.environ["HTTP_HOST"], int(os.environ["HTTP_PORT"])), Handler).serve_forever()
"""


class Up:
    """A `sluice up` in a process of its own."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "sluice.main", "up", "--json", *arguments]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.output = self.process.stdout
        line = self.output.readline()
        assert line, "it ended before it was ready"
        self.told: dict[str, Any] = json.loads(line)
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def service(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(self.told[name], timeout=30).json()
        return answer

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(180)

    def all_gone(self) -> bool:
        return not any(map(_is_there, self.children))


def _is_there(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it has gone between the two questions
        return False


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account can enter, unlike pytest's own, so that all state lies in it."""
    made = Path(tempfile.mkdtemp(prefix="sluice-test-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """Stand-ins for the services go before the real ones, and the broker is one that is up at once."""
    for service in SERVICES:
        package = folder / "stand-ins" / service.module
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(STAND_IN)
    removed = {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "SMTP_URL"}
    return {
        **{name: value for name, value in os.environ.items() if name not in removed},
        "PYTHONPATH": str(folder / "stand-ins"),
        "XDG_STATE_HOME": str(folder / "state"),
        "SLUICE_BROKER": "fallback",
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Iterator[Any]:
    """Starts systems, and ends those that a failed test left."""
    made: list[Up] = []

    def start(*arguments: str) -> Up:
        made.append(Up(environment, *arguments))
        return made[-1]

    yield start
    for up in made:
        if up.process.poll() is None:
            up.end()
        up.output.close()


def test_an_ephemeral_system_tells_where_it_is_and_leaves_nothing(run: Any) -> None:
    up = run("--ephemeral")
    assert set(up.told) >= {
        "data",
        "kafka",
        "database_url",
        "release",
        "accounting_connector",
        "billing_runs",
        "notifier",
    }
    assert set(up.told["infrastructure"]) >= {"broker", "database"}
    assert len(up.children) >= 8
    assert up.end(signal.SIGINT) == 0
    assert up.all_gone()
    assert not Path(up.told["data"]).exists()


async def test_every_service_has_its_own_role_and_the_system_s_addresses(run: Any) -> None:
    up = run("--ephemeral")
    roles = set()
    for service in SERVICES:
        given = up.service(service.module)["environment"]
        assert given["KAFKA_BOOTSTRAP_SERVERS"] == up.told["kafka"]
        assert given["KAFKA_IDEMPOTENT_PRODUCER"] == "false"
        assert given["OIDC_JWKS_URL"] == (Path(up.told["data"]) / "jwks.json").as_uri()
        connection = await asyncpg.connect(given["DATABASE_URL"])
        roles.add(await connection.fetchval("select current_user"))
        await connection.close()
    assert roles == {
        "sluice_release",
        "sluice_accounting_connector",
        "sluice_billing_runs",
        "sluice_notifier",
    }


def test_a_killed_system_takes_everything_with_it(run: Any) -> None:
    up = run("--ephemeral")
    up.end(signal.SIGKILL)
    wait_for(up.all_gone, what="the end of all that it started")
    wait_for(lambda: not Path(up.told["data"]).exists(), what="the removal of its state")


async def test_a_second_up_goes_on_with_the_state_of_a_killed_one(run: Any, folder: Path) -> None:
    data = str(folder / "data")
    first = run("--data", data)
    connection = await asyncpg.connect(first.told["database_url"])
    await connection.execute("create table kept as select 7 as number")
    await connection.close()
    first.end(signal.SIGKILL)
    second = run("--data", data)
    wait_for(first.all_gone, what="the end of the first one's processes")
    connection = await asyncpg.connect(second.told["database_url"])
    assert await connection.fetchval("select number from kept") == 7
    await connection.close()
    assert second.end() == 0


def test_two_at_the_same_time_do_not_meet(run: Any, environment: dict[str, str]) -> None:
    first, second = run(), run()
    assert first.told["data"] != second.told["data"]
    for name in ("kafka", "release", "accounting_connector", "billing_runs", "notifier", "smtp"):
        assert first.told[name] != second.told[name]
    command = [sys.executable, "-m", "sluice.main", "down", "--data", second.told["data"], "--json"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)["was_running"] is True
    assert second.process.wait(180) == 0
    assert first.process.poll() is None
    assert not first.all_gone()
    assert first.end() == 0


def test_a_state_in_use_is_refused(run: Any, environment: dict[str, str], folder: Path) -> None:
    data = str(folder / "data")
    run("--data", data)
    command = [sys.executable, "-m", "sluice.main", "up", "--data", data]
    refused = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=180
    )
    assert refused.returncode == 1
    assert "another system runs" in refused.stderr


def test_a_service_that_dies_is_started_again_at_its_address(run: Any) -> None:
    up = run("--ephemeral")
    pid = up.service("release")["pid"]
    os.kill(pid, signal.SIGKILL)

    def newcomer() -> int | None:
        try:
            found: int = up.service("release")["pid"]
        except httpx.HTTPError:
            return None
        return found if found != pid else None

    assert wait_for(newcomer, what="the service's return") != pid


def test_a_service_that_cannot_start_ends_the_whole_and_says_why(
    environment: dict[str, str], folder: Path
) -> None:
    broken = folder / "stand-ins" / "notifier" / "__main__.py"
    broken.write_text("raise SystemExit('The setting SMTP_URL is missing.')")
    command = [sys.executable, "-m", "sluice.main", "up", "--ephemeral"]
    before = {process.pid for process in psutil.process_iter()}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert ended.returncode == 1
    assert "The setting SMTP_URL is missing." in ended.stderr
    ours = [
        p for p in psutil.process_iter(["cmdline", "environ"]) if p.pid not in before and _is_ours(p, folder)
    ]
    assert ours == []


def _is_ours(process: psutil.Process, folder: Path) -> bool:
    return (process.info["environ"] or {}).get("XDG_STATE_HOME") == str(folder / "state")
