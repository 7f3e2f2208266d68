"""`sluice move-left-out`: bills later what an event's document leaves out."""

from typing import Annotated

import typer

from sluice.client import CallError, DataOption, UserOption, connect
from sluice.console import EXIT_FAILED, JsonOption, answer_json, fail, say
from sluice.state import StateError


def move_left_out(
    *,
    billing_event_id: Annotated[str, typer.Argument(help="The invoiced billing event.")],
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Move what an event's document leaves out to a new event, which awaits release; exit code 1 if it is refused."""
    try:
        with connect("release", data, user) as client:
            answer = client.post(f"/billing-events/{billing_event_id}/move-left-out", {})
    except CallError as error:
        if as_json and error.problem is not None:
            answer_json(error.problem)
        fail(str(error), EXIT_FAILED)
    except StateError as error:
        fail(str(error))
    if as_json:
        answer_json(answer)
        return
    count = len(answer["moved_item_ids"])
    items = "1 item" if count == 1 else f"{count} items"
    say(f"{items}, {answer['amount']} {answer['currency']}, moved to {answer['new_billing_event_id']}")
