"""What the commands on billing runs share: a call that is answered by the run, and how a run is shown."""

from pathlib import Path
from typing import Any

from sluice.client import CallError, connect
from sluice.console import answer_json, fail, say
from sluice.state import StateError


def post(path: str, body: dict[str, Any], *, data: Path | None, user: str, as_json: bool) -> None:
    """Do a call that is answered by the run, and show it; ends the command where it is refused."""
    try:
        with connect("billing-runs", data, user) as client:
            run = client.post(path, body)
    except (CallError, StateError) as error:
        fail(str(error))
    answer_run(run, as_json=as_json)


def answer_run(run: dict[str, Any], *, as_json: bool) -> None:
    """Show where a run is and what can be done with it now."""
    if as_json:
        answer_json(run)
        return
    actions = ", ".join(action["action"] for action in run.get("available_actions") or [])
    disabled = ", disabled" if run.get("disabled") else ""
    say(
        f"run {run['run_id']}: {run['status']}, {run.get('execution')}{disabled}; possible now: {actions or 'nothing'}"
    )
    for name, link in (("its quarantine run", "quarantine_run_id"), ("quarantine of", "quarantine_of")):
        if run.get(link):
            say(f"{name}: {run[link]}")


def is_under_way(run: dict[str, Any]) -> bool:
    """Whether a step of the run is at work, or soon will be: none of a disabled run starts but its cancel."""
    starts = not run["disabled"] or run["status"] == "cancelling"
    return bool(run["execution"] == "running" or (run["execution"] == "queued" and starts))
