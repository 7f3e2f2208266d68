"""`sluice bench`: how fast the system is on this machine."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from sluice.benchmarks.driver import StallError
from sluice.benchmarks.machine import describe_machine
from sluice.benchmarks.report import as_json as report_json
from sluice.benchmarks.report import markdown, rows
from sluice.benchmarks.suite import CODES, EVENTS_DEFAULT, run_benchmarks
from sluice.console import EXIT_USAGE, JsonOption, answer_json, answer_table, fail, say
from sluice.infrastructure.errors import StartError, UnavailableError

_COLUMNS = ("number", "what", "measured", "limit", "ratio", "goal", "reached")


def bench(
    only: Annotated[
        str | None, typer.Option("--only", help="These benchmarks, with commas; all without it.")
    ] = None,
    events: Annotated[
        int, typer.Option("--events", min=100, help="Billing events of the largest benchmark.")
    ] = EVENTS_DEFAULT,
    write: Annotated[
        Path | None, typer.Option("--write", help="Write the report to this file, as Markdown.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the system beside the machine's limits, on servers of its own that are removed at the end.

    The figures are only as good as the machine is idle.
    """
    codes = list(CODES) if only is None else [code.strip().upper() for code in only.split(",")]
    unknown = [code for code in codes if code not in CODES]
    if unknown:
        fail(f"{', '.join(unknown)}: there are {', '.join(CODES)}", EXIT_USAGE)
    if write is not None and not write.absolute().parent.is_dir():
        fail(f"{write} cannot be written: there is no such folder", EXIT_USAGE)
    machine = describe_machine()
    try:
        results = run_benchmarks(codes, events, say)
    except (StartError, UnavailableError, StallError) as error:
        fail(str(error))
    if write is not None:
        command = ["sluice", "bench", *(["--only", only] if only else []), "--events", str(events)]
        write.write_text(markdown(results, machine, shlex.join(command)), encoding="utf-8")
    if as_json:
        answer_json(report_json(results, machine))
    else:
        answer_table(_COLUMNS, [row for result in results for row in rows(result)])
