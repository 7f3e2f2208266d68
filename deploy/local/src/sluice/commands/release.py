"""`sluice release`: releases one billing event."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from sluice.client import CallError, DataOption, UserOption, connect
from sluice.console import EXIT_FAILED, JsonOption, answer_json, answer_table, fail, say
from sluice.state import StateError


class OnCap(StrEnum):
    """What to do with an event that does not fit under its cap."""

    REFUSE = "refuse"
    SPLIT = "split"


def release(
    *,
    billing_event_id: Annotated[str, typer.Argument(help="The billing event.")],
    on_cap: Annotated[
        OnCap, typer.Option("--on-cap", help="What to do if it does not fit under its cap.")
    ] = OnCap.REFUSE,
    preview: Annotated[bool, typer.Option("--preview", help="Only tell what would happen.")] = False,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Release a billing event; exit code 1 and the reasons if it is refused."""
    path = f"/billing-events/{billing_event_id}"
    try:
        with connect("release", data, user) as client:
            if preview:
                answer = client.get(f"{path}/release-preview")
            else:
                answer = client.post(f"{path}/release", {"on_cap": on_cap.value})
    except CallError as error:
        if as_json and error.problem is not None:
            answer_json(error.problem)
        fail(str(error), EXIT_FAILED)
    except StateError as error:
        fail(str(error))
    if as_json:
        answer_json(answer)
    else:
        _tell(billing_event_id, answer)


def _tell(billing_event_id: str, answer: dict[str, Any]) -> None:
    if "job_id" in answer:
        say(f"{billing_event_id} is large: it became the job {answer['job_id']} ({answer['status']})")
        return
    say(f"{billing_event_id}: {answer['outcome']}")
    if answer.get("new_billing_event_id"):
        say(f"what did not fit is in {answer['new_billing_event_id']}")
    if answer.get("adjustments"):
        answer_table(["item_id", "amount", "budget_id", "billing_event_id"], answer["adjustments"])
