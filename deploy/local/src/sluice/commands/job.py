"""`sluice job start|show|stop|log|list`: release jobs."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from sluice.client import CallError, DataOption, ServiceClient, UserOption, connect
from sluice.console import EXIT_FAILED, EXIT_USAGE, JsonOption, answer_json, answer_table, fail, say
from sluice.state import StateError
from sluice.waiting import wait_for_end

app = typer.Typer(no_args_is_help=True, help="Release jobs: many billing events at once.")

_ENDED = frozenset({"completed", "completed_with_errors", "stopped", "failed"})
_LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most this many.")]


class Mode(StrEnum):
    """When the job is done: by and by, or at once where it is small."""

    BACKGROUND = "background"
    AUTO = "auto"


class OnChunkFailure(StrEnum):
    """What becomes of the good events of a chunk in which one cannot be released."""

    FAIL = "fail"
    ISOLATE = "isolate"


@app.command()
def start(
    *,
    event: Annotated[
        list[str] | None, typer.Option("--event", help="A billing event; may be given again.")
    ] = None,
    batch: Annotated[list[str] | None, typer.Option("--batch", help="A batch; may be given again.")] = None,
    project: Annotated[str | None, typer.Option("--project", help="Events of this project.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Events of this account.")] = None,
    currency: Annotated[str | None, typer.Option("--currency", help="Events in this currency.")] = None,
    date_from: Annotated[datetime | None, typer.Option("--date-from", formats=["%Y-%m-%d"])] = None,
    date_to: Annotated[datetime | None, typer.Option("--date-to", formats=["%Y-%m-%d"])] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", help="Not this event of a batch or a filter; may be given again."),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            help="Of a batch or a filter only what was there and unchanged in amount at this time (RFC 3339).",
        ),
    ] = None,
    dry_run_id: Annotated[
        str | None, typer.Option("--from-dry-run", help="Exactly what this dry run found releasable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Decide everything, do nothing; the log tells what would be.")
    ] = False,
    on_chunk_failure: Annotated[
        OnChunkFailure | None,
        typer.Option(
            "--on-chunk-failure",
            help="Whether the good events of a chunk fail with a bad one; else as the setting says.",
        ),
    ] = None,
    mode: Annotated[Mode, typer.Option("--mode")] = Mode.BACKGROUND,
    and_invoice: Annotated[
        bool, typer.Option("--and-invoice", help="Make invoices of what is released.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has ended; exit code 1 if events failed.")
    ] = False,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Start a job over events, batches, all events that fit a filter, or what a dry run has found releasable."""
    select = _select(
        event,
        batch,
        {
            "project_id": project,
            "account_id": account,
            "currency": currency,
            "date_from": date_from and date_from.date().isoformat(),
            "date_to": date_to and date_to.date().isoformat(),
        },
        dry_run_id,
    )
    select |= {key: value for key, value in {"exclude_ids": exclude, "as_of": as_of}.items() if value}
    body = {
        "select": select,
        "mode": mode.value,
        "and_invoice": and_invoice,
        "on_chunk_failure": on_chunk_failure and on_chunk_failure.value,
        "dry_run": dry_run,
    }
    try:
        with connect("release", data, user) as client:
            job = client.post("/release-jobs", body)
            if wait:
                job = _wait(client, job["job_id"])
    except (CallError, StateError) as error:
        fail(str(error))
    _answer(job, as_json=as_json)
    if wait and (job["failed"] or job["status"] != "completed"):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def show(
    *,
    job_id: str,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Show a job and what it has done so far."""
    try:
        with connect("release", data, user) as client:
            job = _wait(client, job_id) if wait else client.get(f"/release-jobs/{job_id}")
    except (CallError, StateError) as error:
        fail(str(error))
    _answer(job, as_json=as_json)


@app.command()
def stop(
    *,
    job_id: str,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Stop a job before its next chunk: what it has not decided awaits release again."""
    try:
        with connect("release", data, user) as client:
            job = client.post(f"/release-jobs/{job_id}/stop", {})
            if wait:
                job = _wait(client, job_id)
    except (CallError, StateError) as error:
        fail(str(error))
    _answer(job, as_json=as_json)


@app.command("list")
def list_jobs(
    *,
    status: Annotated[str | None, typer.Option("--status")] = None,
    starter: Annotated[str | None, typer.Option("--starter", help="Started by this user.")] = None,
    limit: _LimitOption = 50,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """List jobs."""
    try:
        with connect("release", data, user) as client:
            jobs = client.items("/release-jobs", {"status": status, "starter": starter}, items_max=limit)
    except (CallError, StateError) as error:
        fail(str(error))
    if as_json:
        answer_json({"items": jobs})
    else:
        names = ["job_id", "status", "released", "failed", "stopped", "pending", "and_invoice"]
        answer_table(names, jobs)


@app.command()
def log(
    *,
    job_id: str,
    limit: _LimitOption = 1_000,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Show what became of each event of a job."""
    try:
        with connect("release", data, user) as client:
            lines = client.items(f"/release-jobs/{job_id}/log", {}, items_max=limit)
    except (CallError, StateError) as error:
        fail(str(error))
    if as_json:
        answer_json({"items": lines})
    else:
        answer_table(["billing_event_id", "result", "document_id", "reasons", "time"], lines)


def _select(
    events: list[str] | None, batches: list[str] | None, fields: dict[str, Any], dry_run_id: str | None
) -> dict[str, Any]:
    """The contract's `select` (contract.md section 2): exactly one of the four ways to say what is meant."""
    chosen = {key: value for key, value in fields.items() if value is not None}
    ways = [bool(events), bool(batches), bool(chosen), bool(dry_run_id)]
    if sum(ways) != 1:
        fail(
            "say what is meant in one way: with --event, with --batch, with a filter, or with --from-dry-run",
            EXIT_USAGE,
        )
    if dry_run_id:
        return {"dry_run_id": dry_run_id, "result": "would_release"}
    if events:
        return {"billing_event_ids": events}
    return {"batch_ids": batches} if batches else {"filter": chosen}


def _wait(client: ServiceClient, job_id: str) -> dict[str, Any]:
    return wait_for_end(
        lambda: client.get(f"/release-jobs/{job_id}"),
        has_ended=lambda job: job["status"] in _ENDED,
        outline=lambda job: f"{job['status']}: {job['released']} released, {job['failed']} failed",
    )


def _answer(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        answer_json(job)
        return
    counts = [f"{job.get(word, 0)} {word}" for word in ("released", "failed")]
    counts += [f"{job[word]} {word}" for word in ("stopped", "pending") if job.get(word)]
    say(f"job {job['job_id']}: {job['status']}, {', '.join(counts)}")
    if job.get("waits_for"):
        answer_table(["billing_event_id", "for"], job["waits_for"])
    if job.get("failures"):
        answer_table(["billing_event_id", "reasons"], job["failures"])
