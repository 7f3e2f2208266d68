"""What commands write: JSON for machines on standard output, sentences and tables for people."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Column, Table

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON on standard output, for machines.")]

_people = Console(stderr=True, highlight=False, soft_wrap=True)
# Whoever reads it from a pipe has no width, and is to find ids whole.
_PIPE_COLUMNS: Final = 200
_answers = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)


def say(sentence: str) -> None:
    """Tell people what happens; never on standard output, which belongs to the answer."""
    _people.print(sentence, markup=False)


def fail(sentence: str, code: int = EXIT_FAILED) -> NoReturn:
    """Tell why the command failed, and end it."""
    say(f"sluice: {sentence}")
    raise typer.Exit(code)


def answer_json(answer: Any) -> None:
    """Write the answer as one line of JSON, at once."""
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def answer_text(text: str) -> None:
    """Write the answer as it is."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def answer_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as a table of these columns (keys of the rows); what is too wide goes on below, and is never cut."""
    headers = (Column(column.replace("_", " "), overflow="fold") for column in columns)
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*("" if row.get(column) is None else str(row[column]) for column in columns))
    _answers.print(table)
