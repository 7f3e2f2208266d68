"""`sluice run watch|report`: the live progress of a billing run, its execution report and its figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sluice.client import CallError, DataOption, UserOption, connect
from sluice.commands.run_calls import is_under_way
from sluice.console import EXIT_FAILED, JsonOption, answer_json, answer_table, fail, say
from sluice.state import StateError

RunArgument = Annotated[str, typer.Argument(help="The run.")]

_EXECUTIONS_MAX: Final = 1_000


def watch(
    *,
    run_id: RunArgument,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Show the run's progress until it rests. With --json one line for each change. Exit code 1 if a step failed."""
    try:
        run = _follow_json(run_id, data, user) if as_json else _follow(run_id, data, user)
    except (CallError, StateError) as error:
        fail(str(error))
    if run["execution"] == "failed":
        raise typer.Exit(EXIT_FAILED)


def report(
    *,
    run_id: RunArgument,
    log: Annotated[bool, typer.Option("--log", help="Show the log of the executions too.")] = False,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Show the execution report and the figures of a run."""
    try:
        with connect("billing-runs", data, user) as client:
            executions = client.items(f"/billing-runs/{run_id}/executions", {}, items_max=_EXECUTIONS_MAX)
            figures = client.get(f"/billing-runs/{run_id}/statistics")
    except (CallError, StateError) as error:
        fail(str(error))
    if as_json:
        answer_json({"executions": executions, "statistics": figures})
        return
    answer_table(
        ["step", "status", "started_at", "ended_at", "to_do", "done", "warnings", "errors"], executions
    )
    if log:
        lines = [{"step": each["step"], **line} for each in executions for line in each["log"]]
        if lines:
            answer_table(["time", "step", "level", "message", "subject_id"], lines)
        else:
            say("the logs are empty")
    _show_figures(figures)


def _follow(run_id: str, data: Path | None, user: str) -> dict[str, Any]:
    run: dict[str, Any] = {}
    with _bar() as progress:
        task = progress.add_task("", total=None)
        for told in _progress(run_id, data, user):
            run, execution = told["run"], told["execution"]
            doing = f"{run['status']}: {execution['step']}" if execution is not None else run["status"]
            to_do = execution["to_do"] if execution is not None else 0
            progress.update(
                task,
                description=doing,
                total=to_do or None,
                completed=execution["done"] if execution is not None else 0,
            )
    say(f"run {run_id}: {run['status']}, {run['execution']}{', disabled' if run['disabled'] else ''}")
    return run


def _follow_json(run_id: str, data: Path | None, user: str) -> dict[str, Any]:
    run: dict[str, Any] = {}
    for told in _progress(run_id, data, user):
        run = told["run"]
        answer_json(told)
    return run


def _progress(run_id: str, data: Path | None, user: str) -> Iterator[dict[str, Any]]:
    """How the run stands, again and again, until no step of it is under way."""
    while True:  # a stream ends after a while, a run need not
        with connect("billing-runs", data, user) as client:
            for told in client.events(f"/billing-runs/{run_id}/events"):
                yield told
                if not is_under_way(told["run"]):
                    return


@contextmanager
def _bar() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress


def _show_figures(figures: dict[str, Any]) -> None:
    kind = "preview" if figures["preview"] else "final"
    say(
        f"{kind}: {figures['events']} events, {figures['items']} items, {figures['accounts']} accounts, "
        f"{figures['projects']} projects; {_in_words(figures['amounts'])}"
    )
    answer_table(["state", "currency", "events", "amount"], figures["events_by_state"])
    if figures["accounts_not_invoiced"]:
        answer_table(["account_id", "events", "code", "message"], figures["accounts_not_invoiced"])
    groups = [{**each, "total_net": _in_words(each["total_net"])} for each in figures["documents"]["groups"]]
    answer_table(["review", "kind", "status", "documents", "total_net"], groups)


def _in_words(amounts: dict[str, str]) -> str:
    return ", ".join(f"{amount} {currency}" for currency, amount in amounts.items()) or "nothing"
