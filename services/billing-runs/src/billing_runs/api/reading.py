"""What several routers need: the run of a path, refusals as problems, the caller as a starter."""

from collections.abc import Mapping
from typing import Any, Final

from billing_runs.domain.refusals import RefusalCode
from billing_runs.store import runs
from billing_runs.store.connection import Reader
from billing_runs.store.runs import StoredRun
from shared.http.problems import Problem, not_found
from shared.http.tokens import Principal

_TITLES: Final[Mapping[RefusalCode, str]] = {
    RefusalCode.RUN_DISABLED: "The billing run is disabled",
    RefusalCode.ACTION_NOT_AVAILABLE: "The billing run's status does not allow this",
    RefusalCode.STEP_RUNNING: "A step of the billing run is under way",
}


async def read_run(connection: Reader, run_id: str) -> StoredRun:
    """The run. Raises Problem 404 `not_found`."""
    run = await runs.load_run(connection, run_id)
    if run is None:
        raise not_found()
    return run


def problem_of(refusal: RefusalCode) -> Problem:
    """409 with the code that refuses an action."""
    return Problem(409, refusal.value, _TITLES[refusal])


def starter_of_principal(principal: Principal) -> dict[str, Any]:
    """Who calls, as facts tell it."""
    return {"user_id": principal.user_id, "email": principal.email}
