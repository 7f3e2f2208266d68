"""`sluice run create|process|close|cancel|enable|disable|render|describe|show|list`: billing runs and their steps."""

from pathlib import Path
from typing import Annotated, Any

import typer

from shared.contracts.command_fields import ClaimEnd, FileFormat
from sluice.client import CallError, DataOption, UserOption, connect
from sluice.commands import run_creation, run_documents, run_reports
from sluice.commands.run_calls import answer_run, is_under_way, post
from sluice.console import EXIT_FAILED, JsonOption, answer_json, answer_table, fail
from sluice.state import StateError
from sluice.waiting import wait_for_end

app = typer.Typer(no_args_is_help=True, help="Billing runs: invoices in steps, with review.")

RunArgument = Annotated[str, typer.Argument(help="The run.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait until the step has ended.")]


app.command()(run_creation.create)


@app.command()
def process(
    *,
    run_id: RunArgument,
    wait: WaitOption = False,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Do the run's next step."""
    _act(run_id, "process", {}, wait=wait, data=data, user=user, as_json=as_json)


@app.command()
def close(
    run_id: RunArgument, data: DataOption = None, user: UserOption = "operator", as_json: JsonOption = False
) -> None:
    """Close the run."""
    _act(run_id, "close", {}, data=data, user=user, as_json=as_json)


@app.command()
def enable(
    run_id: RunArgument, data: DataOption = None, user: UserOption = "operator", as_json: JsonOption = False
) -> None:
    """Let a disabled run go on."""
    _act(run_id, "enable", {}, data=data, user=user, as_json=as_json)


@app.command()
def disable(
    run_id: RunArgument, data: DataOption = None, user: UserOption = "operator", as_json: JsonOption = False
) -> None:
    """Keep a run from going on."""
    _act(run_id, "disable", {}, data=data, user=user, as_json=as_json)


@app.command()
def cancel(
    *,
    run_id: RunArgument,
    billing_events: Annotated[ClaimEnd, typer.Option("--billing-events", help="What becomes of its events.")],
    wait: WaitOption = False,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Cancel the run."""
    body = {"billing_events": billing_events}
    _act(run_id, "cancel", body, wait=wait, data=data, user=user, as_json=as_json)


@app.command()
def render(
    *,
    run_id: RunArgument,
    document_format: Annotated[FileFormat, typer.Option("--format")] = "xml",
    wait: WaitOption = False,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Render the run's documents."""
    body = {"format": document_format}
    _act(run_id, "render", body, wait=wait, data=data, user=user, as_json=as_json)


@app.command()
def describe(
    *,
    run_id: RunArgument,
    description: Annotated[str, typer.Argument(help="Its new description.")],
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Give the run another description."""
    try:
        with connect("billing-runs", data, user) as client:
            run = client.patch(f"/billing-runs/{run_id}", {"description": description})
    except (CallError, StateError) as error:
        fail(str(error))
    answer_run(run, as_json=as_json)


@app.command()
def show(
    *,
    run_id: RunArgument,
    wait: WaitOption = False,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Show a run."""
    try:
        run = _look(run_id, wait=wait, data=data, user=user)
    except (CallError, StateError) as error:
        fail(str(error))
    answer_run(run, as_json=as_json)


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most this many.")] = 50,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """List runs."""
    try:
        with connect("billing-runs", data, user) as client:
            runs = client.items("/billing-runs", {}, items_max=limit)
    except (CallError, StateError) as error:
        fail(str(error))
    if as_json:
        answer_json({"items": runs})
    else:
        answer_table(["run_id", "kind", "status", "execution", "description"], runs)


app.command()(run_documents.documents)
app.command()(run_documents.review)
app.command()(run_reports.watch)
app.command()(run_reports.report)


def _act(
    run_id: str,
    action: str,
    body: dict[str, Any],
    *,
    data: Path | None,
    user: str,
    as_json: bool,
    wait: bool = False,
) -> None:
    path = f"/billing-runs/{run_id}/{action}"
    if not wait:
        post(path, body, data=data, user=user, as_json=as_json)
        return
    try:
        with connect("billing-runs", data, user) as client:
            client.post(path, body)
        run = _look(run_id, wait=True, data=data, user=user)
    except (CallError, StateError) as error:
        fail(str(error))
    answer_run(run, as_json=as_json)
    if run["execution"] == "failed":
        raise typer.Exit(EXIT_FAILED)


def _look(run_id: str, *, wait: bool, data: Path | None, user: str) -> dict[str, Any]:
    with connect("billing-runs", data, user) as client:

        def look() -> dict[str, Any]:
            run: dict[str, Any] = client.get(f"/billing-runs/{run_id}")
            return run

        if not wait:
            return look()
        return wait_for_end(
            look,
            has_ended=lambda run: not is_under_way(run),
            outline=lambda run: f"{run['status']}: {run['execution']}",
        )
