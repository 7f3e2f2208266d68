"""`sluice reconcile`: whether the books balance."""

from typing import Final

import typer

from sluice.client import CallError, DataOption, UserOption, connect
from sluice.console import EXIT_FAILED, JsonOption, answer_json, answer_table, fail, say
from sluice.state import StateError

_WITH_BOOKS: Final = ("release", "accounting-connector")


def reconcile(data: DataOption = None, user: UserOption = "operator", as_json: JsonOption = False) -> None:
    """Compare the services' books (domain.md section 6); exit code 1 unless all balance."""
    reports = {}
    try:
        for service in _WITH_BOOKS:
            with connect(service, data, user) as client:
                reports[service] = client.get("/reconciliation")
    except (CallError, StateError) as error:
        fail(str(error))
    balanced = all(report["balanced"] for report in reports.values())
    if as_json:
        answer_json({"balanced": balanced, "services": reports})
    else:
        rows = [
            {"service": service, **check, "differences": len(check.get("differences") or [])}
            for service, report in reports.items()
            for check in report["checks"]
        ]
        answer_table(["service", "check", "balanced", "differences"], rows)
        say("the books balance" if balanced else "the books do NOT balance")
    if not balanced:
        raise typer.Exit(EXIT_FAILED)
