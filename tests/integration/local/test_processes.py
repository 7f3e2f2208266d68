"""Child processes: those that we started are stopped, and nothing else."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sluice.infrastructure.errors import AddressInUseError, StartError
from sluice.infrastructure.processes import Command, ManagedProcess, end_leftovers, leftovers
from support.waiting import wait_for

WAITS = "import time; print('up', flush=True); time.sleep(600)"
IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS


def managed(folder: Path, code: str, *, stop_seconds: float = 10) -> ManagedProcess:
    command = Command(
        name="child",
        arguments=[sys.executable, "-c", code],
        folder=folder,
        log=folder / "child.log",
        stop_seconds=stop_seconds,
    )
    return ManagedProcess(command, folder)


def started(folder: Path, code: str, *, stop_seconds: float = 10) -> ManagedProcess:
    process = managed(folder, code, stop_seconds=stop_seconds)
    process.start()
    process.wait_until(lambda: "up" in process.log_since_start(), 120)
    return process


def test_a_stopped_child_is_gone_and_leaves_no_record(tmp_path: Path) -> None:
    process = started(tmp_path, WAITS)
    pid = process.pid
    assert pid is not None
    assert [leftover.pid for leftover in leftovers(tmp_path)] == [pid]
    process.stop()
    assert not psutil.pid_exists(pid)
    assert leftovers(tmp_path) == []


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    process = started(tmp_path, IGNORES_TERM, stop_seconds=0.2)
    pid = process.pid
    assert pid is not None
    process.stop()
    assert not psutil.pid_exists(pid)


def test_a_child_that_exits_is_told_at_once_with_the_end_of_its_log(tmp_path: Path) -> None:
    process = managed(tmp_path, "import sys; sys.exit('the disk is full')")
    process.start()
    with pytest.raises(StartError, match=r"exit code 1(.|\n)*the disk is full"):
        process.wait_until(lambda: False, 600)


def test_an_earlier_runs_complaint_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    (tmp_path / "child.log").write_text("Address already in use\n")
    process = managed(tmp_path, "raise SystemExit(3)")
    process.start()
    with pytest.raises(StartError) as complaint:
        process.wait_until(lambda: False, 600)
    assert not isinstance(complaint.value, AddressInUseError)


def test_a_taken_port_is_told_apart(tmp_path: Path) -> None:
    process = managed(tmp_path, "import sys; sys.exit('[Errno 98] Address already in use')")
    process.start()
    with pytest.raises(AddressInUseError):
        process.wait_until(lambda: False, 600)


def test_a_child_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    process = managed(tmp_path, WAITS)
    process.start()
    pid = process.pid
    assert pid is not None
    with pytest.raises(StartError, match="not ready"):
        process.wait_until(lambda: False, 0.2)
    assert not psutil.pid_exists(pid)


def test_what_a_dead_command_left_is_ended(tmp_path: Path) -> None:
    process = started(tmp_path, WAITS)
    pid = process.pid
    assert pid is not None
    assert end_leftovers(leftovers(tmp_path)) == ["child"]
    wait_for(lambda: not process.is_running(), what="the child's end")
    assert leftovers(tmp_path) == []


def test_a_stranger_who_got_the_pid_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.DEVNULL)
    record = {
        "name": "kafka",
        "pid": stranger.pid,
        "started": psutil.Process(stranger.pid).create_time() - 3600,
        "stop_signal": int(signal.SIGTERM),
        "kill_signal": int(signal.SIGKILL),
        "stop_seconds": 1,
    }
    (tmp_path / "kafka.json").write_text(json.dumps(record))
    try:
        assert end_leftovers(leftovers(tmp_path)) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_half_written_record_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "kafka.json").write_text('{"name": "ka')
    assert leftovers(tmp_path) == []
    assert list(tmp_path.glob("*.json")) == []
