"""Files are made in processes of their own: what happens to one of them is one document's affair."""

import asyncio
import contextlib
import dataclasses
import os
import pickle
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import psutil
import pytest

from accounting_connector.rendering import worker
from accounting_connector.rendering.model import NotRenderedError, Rendering
from accounting_connector.rendering.pdf import pdf_of
from accounting_connector.rendering.ubl import ubl_of
from accounting_connector.rendering.workers import (
    PORTION_DOCUMENTS_MAX,
    PORTION_LINES_MAX,
    RenderingWorkers,
    portions_of,
)
from judges.documents import line, rendering
from shared.contracts.command_fields import FileFormat
from support.waiting import wait_until

Children = Callable[[], set[int]]


def worker_processes() -> set[int]:
    """The worker processes of this process that live."""
    found = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if child.status() != psutil.STATUS_ZOMBIE and worker.__name__ in child.cmdline():
                found.add(child.pid)
    return found


@pytest.fixture
def children() -> Children:
    """The worker processes that live, those aside that other tests have."""
    strangers = worker_processes()
    return lambda: worker_processes() - strangers


async def seen(look: Callable[[], object], what: str) -> None:
    """Wait until it is so."""

    async def awaited() -> object:
        return look()

    await wait_until(awaited, what=what)


class Deadly(str):
    """Ends the process that unpickles it."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


@pytest.fixture
async def workers() -> AsyncIterator[RenderingWorkers]:
    """Two processes."""
    async with RenderingWorkers(2) as made:
        yield made


async def test_files_are_those_that_are_made_here(workers: RenderingWorkers) -> None:
    made = rendering()
    xml, pdf = await asyncio.gather(workers.render(made, "xml"), workers.render(made, "pdf"))
    assert xml == ubl_of(made)
    assert pdf == pdf_of(made)


async def test_many_at_a_time_share_a_bounded_number_of_processes(
    workers: RenderingWorkers, children: Children
) -> None:
    made = [rendering(number=f"SIN-2026-{place:06}") for place in range(40)]
    files = await asyncio.gather(*(workers.render(each, "xml") for each in made))
    assert files == [ubl_of(each) for each in made]
    assert len(children()) == 2


async def test_many_files_come_in_order_and_fail_one_by_one(workers: RenderingWorkers) -> None:
    small = [rendering(number=f"SIN-2026-{place:06}") for place in range(23)]
    refused = rendering(line(currency="KWD"), currency="KWD")
    deadly = dataclasses.replace(small[0], number=Deadly())
    wanted: list[tuple[Rendering, FileFormat]] = [
        (each, "xml") for each in (*small, refused, deadly, small[3])
    ]
    wanted[5:5] = [(small[1], "pdf"), (small[2], "pdf")]
    files = await workers.render_many(wanted)
    for (each, file_format), made in zip(wanted, files, strict=True):
        if each is refused:
            assert isinstance(made, NotRenderedError)
            assert [reason.code for reason in made.reasons] == ["currency_not_expressible"]
        elif each is deadly:
            assert isinstance(made, NotRenderedError)
            assert [reason.code for reason in made.reasons] == ["rendering_crashed"]
        else:
            assert made == (ubl_of(each) if file_format == "xml" else pdf_of(each))


def test_a_portion_is_small() -> None:
    small, large = rendering(), rendering(*[line() for _ in range(PORTION_LINES_MAX + 1)])
    wanted: list[tuple[Rendering, FileFormat]] = [(small, "xml")] * (PORTION_DOCUMENTS_MAX + 2)
    wanted += [(large, "xml"), (small, "xml"), (small, "pdf"), (small, "pdf")]
    portions = list(portions_of(wanted))
    assert [(len(portion), file_format) for portion, file_format in portions] == [
        (PORTION_DOCUMENTS_MAX, "xml"),
        (2, "xml"),
        (1, "xml"),
        (1, "xml"),
        (1, "pdf"),
        (1, "pdf"),
    ]
    assert [each for portion, _ in portions for each in portion] == [each for each, _ in wanted]


async def test_reasons_come_back_whole(workers: RenderingWorkers) -> None:
    with pytest.raises(NotRenderedError) as refused:
        await workers.render(rendering(line(currency="KWD"), currency="KWD"), "xml")
    (reason,) = refused.value.reasons
    assert (reason.code, reason.detail) == ("currency_not_expressible", {"currency": "KWD"})


async def test_a_process_that_dies_fails_one_document_and_is_replaced(
    workers: RenderingWorkers, children: Children
) -> None:
    await workers.render(rendering(), "xml")
    (victim,) = children()
    os.kill(victim, signal.SIGSTOP)
    failing = asyncio.create_task(workers.render(rendering(), "xml"))
    await seen(lambda: not workers._idle, "the document taken by the process that will die")
    other = await workers.render(rendering(number="SIN-2026-000002"), "xml")
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(NotRenderedError) as refused:
        await failing
    assert [reason.code for reason in refused.value.reasons] == ["rendering_crashed"]
    assert b"SIN-2026-000002" in other
    files = await asyncio.gather(*(workers.render(rendering(), "xml") for _ in range(4)))
    assert files == [ubl_of(rendering())] * 4
    assert victim not in children()


async def test_a_process_that_died_while_idle_costs_no_document(
    workers: RenderingWorkers, children: Children
) -> None:
    await workers.render(rendering(), "xml")
    (victim,) = children()
    os.kill(victim, signal.SIGKILL)
    await seen(lambda: workers._idle[0].process.returncode is not None, "the death of the process")
    assert await workers.render(rendering(), "xml") == ubl_of(rendering())


async def test_a_document_that_takes_too_long_is_given_up(children: Children) -> None:
    async with RenderingWorkers(1, seconds_per_document_max=0.001) as workers:
        with pytest.raises(NotRenderedError) as refused:
            await workers.render(rendering(), "pdf")
        assert [reason.code for reason in refused.value.reasons] == ["rendering_timed_out"]
        assert children() == set()


@pytest.mark.parametrize("file_format", ["xml", "pdf"])
async def test_a_process_is_replaced_after_its_share_of_lines(
    file_format: FileFormat, children: Children
) -> None:
    lines_max: dict[FileFormat, int] = {"xml": 1_000, "pdf": 1_000}
    lines_max[file_format] = 4
    async with RenderingWorkers(1, lines_per_process_max=lines_max) as workers:
        living = []
        for _ in range(4):
            await workers.render(rendering(line(), line()), file_format)
            living.append(children())
        assert [len(each) for each in living] == [1, 0, 1, 0]
        assert living[0] != living[2]


async def test_a_document_that_is_more_than_a_process_has_left_gets_a_new_one(children: Children) -> None:
    """What an earlier document has left behind would come on top of what a large one takes."""
    async with RenderingWorkers(1, lines_per_process_max={"xml": 4, "pdf": 4}) as workers:
        await workers.render(rendering(line(), line(), line()), "xml")
        first = children()
        await workers.render(rendering(line(), line()), "xml")
        assert len(first) == len(children()) == 1
        assert children() != first


async def test_too_little_memory_fails_the_document_alone() -> None:
    async with RenderingWorkers(1, memory_bytes_max=64 * 1024**2) as workers:
        with pytest.raises(NotRenderedError) as refused:
            await workers.render(rendering(), "pdf")
        assert refused.value.reasons[0].code in {"rendering_crashed", "rendering_failed"}


async def test_cancelling_leaves_no_answer_for_the_next(
    workers: RenderingWorkers, children: Children
) -> None:
    waiting = asyncio.create_task(workers.render(rendering(), "pdf"))
    await seen(children, "a process at work")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await workers.render(rendering(number="SIN-2026-000009"), "xml") == ubl_of(
        rendering(number="SIN-2026-000009")
    )


async def test_processes_end_with_the_workers(children: Children) -> None:
    async with RenderingWorkers(2) as workers:
        await asyncio.gather(*(workers.render(rendering(), "xml") for _ in range(2)))
        assert len(children()) == 2
    assert children() == set()


def test_a_process_ends_with_its_input() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", worker.__name__, str(1 << 31)],
        input=b"",
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert ended.stdout == b""


async def test_a_process_knows_none_of_the_services_secrets(
    workers: RenderingWorkers, monkeypatch: pytest.MonkeyPatch, children: Children
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    await workers.render(rendering(), "xml")
    (child,) = children()
    assert {"DATABASE_URL"}.isdisjoint(psutil.Process(child).environ())
    assert psutil.Process(child).environ()["RAYON_NUM_THREADS"] == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="limits of other processes can be read on Linux only")
async def test_a_process_may_write_no_file(workers: RenderingWorkers, children: Children) -> None:
    await workers.render(rendering(), "xml")
    (child,) = children()
    assert psutil.Process(child).rlimit(psutil.RLIMIT_FSIZE) == (0, 0)


def test_what_nobody_foresaw_is_a_reason_too() -> None:
    kind, body = worker._answer("svg", rendering())
    assert kind == worker.REASONS
    assert b"rendering_failed" in body
    assert b"KeyError" in body


def test_the_service_dies_amid_rendering_where_the_fault_tests_ask_for_it() -> None:
    program = (
        "import asyncio, pickle, sys\n"
        "from accounting_connector.rendering.workers import RenderingWorkers\n"
        "async def main():\n"
        "    async with RenderingWorkers(1) as workers:\n"
        "        await workers.render(pickle.load(sys.stdin.buffer), 'xml')\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(rendering()),
        env={**os.environ, "SLUICE_FAILPOINTS": "documents.amid_rendering:1"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 137, ended.stderr


def test_a_request_that_was_cut_off_ends_the_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", worker.__name__, str(1 << 31)],
        input=struct.pack(">Q", 10)[:4],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, b"")
