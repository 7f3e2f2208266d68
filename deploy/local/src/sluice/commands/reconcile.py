"""`sluice reconcile`: whether the books balance."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import typer

from sluice.client import CallError, DataOption, UserOption, connect
from sluice.console import EXIT_FAILED, JsonOption, answer_json, answer_table, answer_text, fail, say
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
        for line in _differences(reports):
            answer_text(line)
        say("the books balance" if balanced else "the books do NOT balance")
    if not balanced:
        raise typer.Exit(EXIT_FAILED)


def _differences(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Each difference in full, below the name of its check."""
    for service, report in reports.items():
        for check in report["checks"]:
            if not check["balanced"]:
                yield f"\n{service}: {check['check']}"
                for difference in check["differences"]:
                    yield "  " + ", ".join(f"{name} {value}" for name, value in difference.items())
