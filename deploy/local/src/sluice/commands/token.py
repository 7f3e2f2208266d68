"""`sluice token`: a signed development token."""

from datetime import timedelta
from typing import Annotated

import typer

from sluice.client import DataOption
from sluice.console import EXIT_USAGE, JsonOption, answer_json, answer_text, fail
from sluice.state import StateError, state_of
from sluice.tokens import SCOPES, address_of, make_token


def token(
    *,
    scopes: Annotated[
        str, typer.Option("--scopes", help=f"Separated by spaces or commas; of: {' '.join(SCOPES)}")
    ],
    user: Annotated[str, typer.Option("--user", help="The user's id.")],
    email: Annotated[
        str | None,
        typer.Option(
            "--email",
            help="The user's address; without it the id's at example.com, which the local mail shows.",
        ),
    ] = None,
    projects: Annotated[
        str | None, typer.Option("--projects", help="Only these project ids, separated by spaces or commas.")
    ] = None,
    expires_minutes: Annotated[int, typer.Option("--expires-minutes", min=1, max=60 * 24 * 365)] = 8 * 60,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a bearer token for the system that keeps its state in --data, else for the last one started."""
    wanted = _words(scopes)
    unknown = sorted(set(wanted) - set(SCOPES))
    if unknown:
        fail(f"no such scope: {', '.join(unknown)}; there are {', '.join(SCOPES)}", EXIT_USAGE)
    try:
        signed = make_token(
            state_of(data),
            user=user,
            email=email or address_of(user),
            scopes=wanted,
            projects=_words(projects or ""),
            expires_after=timedelta(minutes=expires_minutes),
        )
    except (StateError, OSError) as error:
        fail(str(error))
    if as_json:
        answer_json({"token": signed, "expires_minutes": expires_minutes})
    else:
        answer_text(signed)


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()
