"""A bounded number of processes that make files, used from asyncio: many documents at a time, each on its own.

A process that dies or takes too long is one document's failure: it is replaced, the others go on. Each is replaced
after a number of lines anyway: the compiler of PDFs keeps what it has seen, and what a large tree took stays taken.
"""

import asyncio
import contextlib
import json
import os
import pickle
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import Final, Self

from accounting_connector.domain.reasons import Reason
from accounting_connector.rendering import worker
from accounting_connector.rendering.model import NotRenderedError, Rendering
from shared import failpoints
from shared.contracts.command_fields import FileFormat

LINES_PER_PROCESS_MAX: Final[Mapping[FileFormat, int]] = {"pdf": 10_000, "xml": 100_000}
SECONDS_PER_DOCUMENT_MAX: Final = 60.0
MEMORY_BYTES_MAX: Final = 2 * 1024**3
"""Address space of a process; what it really uses is far less."""

FILE_BYTES_MAX: Final = 256 * 1024**2

PORTION_DOCUMENTS_MAX: Final = 10
PORTION_LINES_MAX: Final = 200
"""What a process is asked for in one go: asking takes as long as writing the XML of a small document."""

_INHERITED: Final = ("PATH", "PYTHONPATH", "LANG", "SYSTEMROOT")
"""All that a process gets of the service's environment, which holds its secrets."""


@dataclass(slots=True, eq=False)
class _Process:
    process: asyncio.subprocess.Process
    used_share: float = 0.0
    """Of the lines that it may set or write before it is replaced."""

    async def ask(self, request: bytes, answers: int) -> list[tuple[bytes, bytes]]:
        """So many answers, their letters and bodies.

        Raises asyncio.IncompleteReadError or ConnectionError if the process dies.
        """
        standard_input, standard_output = self.process.stdin, self.process.stdout
        assert standard_input is not None
        assert standard_output is not None
        standard_input.write(worker.REQUEST.pack(len(request)) + request)
        failpoints.hit(failpoints.RENDERING)
        await standard_input.drain()
        answered = []
        for _ in range(answers):
            kind, length = worker.ANSWER.unpack(await standard_output.readexactly(worker.ANSWER.size))
            if length > FILE_BYTES_MAX:
                raise ConnectionError("the answer is longer than any file")
            answered.append((kind, await standard_output.readexactly(length)))
        return answered

    async def end(self) -> None:
        """Kill it, and wait until it has gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


def portions_of(
    wanted: Iterable[tuple[Rendering, FileFormat]],
) -> Iterator[tuple[list[Rendering], FileFormat]]:
    """What one process is asked for at a time, in order: a few XML files of small documents, or a single file."""
    for file_format, group in groupby(wanted, key=itemgetter(1)):
        portion: list[Rendering] = []
        lines = 0
        for rendering, _ in group:
            lines += len(rendering.lines)
            is_full = len(portion) == PORTION_DOCUMENTS_MAX or lines > PORTION_LINES_MAX
            if portion and (is_full or file_format == "pdf"):
                yield portion, file_format
                portion, lines = [], len(rendering.lines)
            portion.append(rendering)
        yield portion, file_format


class RenderingWorkers:
    """Makes files in up to `processes` processes, started when they are first needed.

    An asynchronous context manager: on leaving, all processes end. Documents wait for a free process in the order in
    which they came.
    """

    def __init__(
        self,
        processes: int,
        *,
        lines_per_process_max: Mapping[FileFormat, int] = LINES_PER_PROCESS_MAX,
        seconds_per_document_max: float = SECONDS_PER_DOCUMENT_MAX,
        memory_bytes_max: int = MEMORY_BYTES_MAX,
    ) -> None:
        self._free = asyncio.Semaphore(processes)
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._lines_per_process_max = lines_per_process_max
        self._seconds_per_document_max = seconds_per_document_max
        self._memory_bytes_max = memory_bytes_max

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all processes, also those at work; their documents fail."""
        self._idle.clear()
        await asyncio.gather(*(process.end() for process in self._all))
        self._all.clear()

    async def render(self, rendering: Rendering, file_format: FileFormat) -> bytes:
        """The file of one document.

        Raises NotRenderedError: with the reasons against the file (`currency_not_expressible` and the like), with
        `rendering_timed_out`, `rendering_crashed` (its process died) or `rendering_failed` (anything unforeseen).
        """
        (made,) = await self._ask([rendering], file_format)
        if isinstance(made, NotRenderedError):
            raise made
        return made

    async def render_many(
        self, wanted: Sequence[tuple[Rendering, FileFormat]]
    ) -> list[bytes | NotRenderedError]:
        """The files of many documents, in their order, each made or failed by itself."""
        portions = [
            self._render_portion(portion, file_format) for portion, file_format in portions_of(wanted)
        ]
        return list(chain.from_iterable(await asyncio.gather(*portions)))

    async def _render_portion(
        self, portion: Sequence[Rendering], file_format: FileFormat
    ) -> list[bytes | NotRenderedError]:
        try:
            return await self._ask(portion, file_format)
        except NotRenderedError as error:
            if len(portion) == 1:
                return [error]
        # Its process died or took too long for one of them: that one is to fail, and no other.
        made = []
        for rendering in portion:
            made += await self._render_portion([rendering], file_format)
        return made

    async def _ask(
        self, portion: Sequence[Rendering], file_format: FileFormat
    ) -> list[bytes | NotRenderedError]:
        """What one process makes of them in one go. Raises NotRenderedError if it died or took too long."""
        request = pickle.dumps((file_format, portion), protocol=pickle.HIGHEST_PROTOCOL)
        async with self._free:
            lines = sum(len(rendering.lines) for rendering in portion)
            share = lines / self._lines_per_process_max[file_format]
            process = await self._take(share)
            process.used_share += share
            try:
                async with asyncio.timeout(self._seconds_per_document_max):
                    answers = await process.ask(request, len(portion))
            except TimeoutError:
                await self._discard(process)
                message = f"The {file_format} was not made within {self._seconds_per_document_max:g} seconds"
                raise NotRenderedError(Reason("rendering_timed_out", message)) from None
            except (asyncio.IncompleteReadError, ConnectionError):
                await self._discard(process)
                message = f"The process that made the {file_format} died"
                raise NotRenderedError(Reason("rendering_crashed", message)) from None
            except BaseException:
                # Cancelled: whatever it would still answer belongs to nobody.
                await self._discard(process)
                raise
            await self._give_back(process)
        return [
            body if kind == worker.FILE else NotRenderedError(*(Reason(**each) for each in json.loads(body)))
            for kind, body in answers
        ]

    async def _take(self, share: float) -> _Process:
        """A process that has this much of its share left, else a new one: a large document gets one of its own."""
        while self._idle:
            process = self._idle.pop()
            if process.process.returncode is None and process.used_share + share <= 1.0:
                return process
            await self._discard(process)
        process = _Process(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                worker.__name__,
                str(self._memory_bytes_max),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # What a library says as it dies may quote the document.
                stderr=asyncio.subprocess.DEVNULL,
                # One document, one core: documents are made side by side.
                env={name: os.environ[name] for name in _INHERITED if name in os.environ}
                | {"RAYON_NUM_THREADS": "1"},
            )
        )
        self._all.add(process)
        return process

    async def _give_back(self, process: _Process) -> None:
        if process.used_share < 1.0:
            self._idle.append(process)
        else:
            await self._discard(process)

    async def _discard(self, process: _Process) -> None:
        self._all.discard(process)
        await process.end()
