"""`sluice explain`: why each item of a billing event was released, moved or refused (domain.md section 3)."""

from typing import Annotated

import typer

from sluice.client import CallError, DataOption, UserOption, connect
from sluice.console import JsonOption, answer_json, answer_text, fail
from sluice.explaining import explanation, gather, sentences
from sluice.state import StateError


def explain(
    *,
    billing_event_id: Annotated[str, typer.Argument(help="The billing event.")],
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Tell why each item of a billing event was released, moved or refused: numbers, rule and order."""
    try:
        with connect("release", data, user) as client:
            told = explanation(**gather(client, billing_event_id))
    except (CallError, StateError) as error:
        fail(str(error))
    if as_json:
        answer_json(told)
    else:
        for sentence in sentences(told):
            answer_text(sentence)
