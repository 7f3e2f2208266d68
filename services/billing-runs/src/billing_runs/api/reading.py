"""What several routers need: the run of a path, refusals as problems, the caller as a starter."""

from typing import Any

from billing_runs.domain.refusals import RefusalCode
from billing_runs.facts import REFUSALS
from billing_runs.store import runs
from billing_runs.store.connection import Reader
from billing_runs.store.runs import StoredRun
from shared.http.problems import Problem, not_found
from shared.http.tokens import Principal


async def read_run(connection: Reader, run_id: str) -> StoredRun:
    """The run. Raises Problem 404 `not_found`."""
    run = await runs.load_run(connection, run_id)
    if run is None:
        raise unknown_run()
    return run


def unknown_run() -> Problem:
    """404 `not_found` for a run."""
    return not_found("There is no billing run with this id.")


def problem_of(refusal: RefusalCode) -> Problem:
    """409 with the code that refuses an action."""
    return Problem(409, refusal.value, REFUSALS[refusal])


def starter_of_principal(principal: Principal) -> dict[str, Any]:
    """Who calls, as facts tell it."""
    return {"user_id": principal.user_id, "email": principal.email}
