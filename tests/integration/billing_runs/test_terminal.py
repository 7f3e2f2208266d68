"""`sluice run` against a replica that answers over a real connection (contract.md section 3)."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from integration.billing_runs.conftest import SCOPES
from integration.billing_runs.driver import Runs, command, create, event
from sluice.main import app
from unit.shared.http.sample import Issuer

Sluice = Callable[..., Coroutine[Any, Any, Result]]


@pytest.fixture
def sluice(url: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Sluice:
    """The command line, which talks to the replica."""
    monkeypatch.setenv("SLUICE_TOKEN", issuer.token(SCOPES))
    monkeypatch.setenv("SLUICE_BILLING_RUNS_URL", url)

    async def call(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, ["run", *arguments])

    return call


async def drafts(runs: Runs) -> None:
    """The run R-1 with the drafts D-BE-1 and D-BE-2."""
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create(), command("process"))
    await runs.settle()
    await runs.command(command("process"))
    await runs.settle()


async def test_a_run_is_created_and_watched_until_it_rests(
    runs: Runs, sluice: Sluice, tmp_path: Path
) -> None:
    await runs.know(event("BE-1"))
    body = {
        "run_id": "R-1",
        "kind": "exceptional",
        "process_type": "manual",
        "scope": {"filter": {"project_id": "P-1"}},
        "invoice_date": "2026-11-30",
    }
    file = tmp_path / "run.json"
    file.write_text(json.dumps(body), encoding="utf-8")
    created = await sluice("create", str(file), "--json")
    assert (created.exit_code, json.loads(created.stdout)["status"]) == (0, "new")
    assert (await sluice("process", "R-1")).exit_code == 0
    watching = asyncio.create_task(sluice("watch", "R-1", "--json"))
    await runs.settle()
    watched = await watching
    assert watched.exit_code == 0
    told = [json.loads(line) for line in watched.stdout.splitlines()]
    assert told[-1]["run"]["status"] == "invoice_lines_created"
    assert told[-1]["execution"]["done"] == 1


async def test_a_run_is_created_from_options(runs: Runs, sluice: Sluice) -> None:
    created = await sluice(
        *("create", "--run-id", "R-7", "--project", "P-1", "--date-to", "2026-11-30"),
        *("--process-type", "automatic", "--with", "release_first", "--threshold", "10 gbp", "--json"),
    )
    run = json.loads(created.stdout)
    assert created.exit_code == 0
    assert (run["run_id"], run["kind"], run["process_type"]) == ("R-7", "exceptional", "automatic")
    assert run["scope"]["filter"]["date_to"] == "2026-11-30"
    assert (run["release_first"], run["incremental"]) == (True, False)
    assert run["threshold"] == {"amount": "10.00", "currency": "GBP"}
    cycle = await sluice(
        *("create", "--cycle", "MONTHLY", "--date-from", "2026-11-01"),
        *("--last-transaction-date", "2026-12-01", "--json"),
    )
    assert json.loads(cycle.stdout)["scope"]["last_transaction_date"] == "2026-12-01"
    described = await sluice("describe", "R-7", "November", "--json")
    assert json.loads(described.stdout)["description"] == "November"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--event", "BE-1", "--project", "P-1"),
        ("--cycle", "MONTHLY"),
        ("--project", "P-1", "--last-transaction-date", "2026-12-01"),
        ("--project", "P-1", "--threshold", "10"),
    ],
)
async def test_a_run_that_is_not_said_in_one_way_is_a_usage_error(
    sluice: Sluice, options: tuple[str, ...]
) -> None:
    assert (await sluice("create", *options)).exit_code == 2


async def test_a_run_that_is_refused_says_which_settings_are_wrong(sluice: Sluice) -> None:
    answer = await sluice("create", "--project", "P-1", "--threshold", "10.001 GBP")

    assert answer.exit_code == 1
    assert "threshold.amount" in answer.stderr


async def test_waiting_for_a_disabled_run_ends(runs: Runs, sluice: Sluice) -> None:
    """Its step is queued until somebody enables it."""
    await drafts(runs)
    await runs.command(command("process"), command("disable"))

    watched = await asyncio.wait_for(sluice("watch", "R-1"), 30)
    assert (watched.exit_code, "validating, queued, disabled" in watched.stderr) == (0, True)
    shown = await asyncio.wait_for(sluice("show", "R-1", "--wait", "--json"), 30)
    assert json.loads(shown.stdout)["execution"] == "queued"


async def test_options_beside_a_file_are_a_usage_error(sluice: Sluice, tmp_path: Path) -> None:
    """They would be ignored, and the run be another one than was meant."""
    file = tmp_path / "run.json"
    file.write_text('{"scope": {"filter": {}}}', encoding="utf-8")

    answer = await sluice("create", str(file), "--run-id", "R-7", "--grouping", "account")

    assert answer.exit_code == 2
    assert "--grouping, --run-id" in answer.stderr


async def test_documents_are_listed_and_decided_on(runs: Runs, sluice: Sluice) -> None:
    await drafts(runs)
    answer = await sluice("review", "R-1", "reject", "--document", "D-BE-1", "--reason", "wrong", "--json")
    assert (answer.exit_code, json.loads(answer.stdout)["results"][0]["result"]) == (0, "done")
    listed = await sluice("documents", "R-1", "--review", "rejected", "--json")
    assert [each["document_id"] for each in json.loads(listed.stdout)["items"]] == ["D-BE-1"]
    refused = await sluice("review", "R-1", "validate", "--all", "--json")
    codes = {each["document_id"]: each["code"] for each in json.loads(refused.stdout)["results"]}
    assert refused.exit_code == 1
    assert codes == {"D-BE-1": "action_not_available", "D-BE-2": None}


@pytest.mark.parametrize(
    "arguments",
    [
        ("reject", "--all"),
        ("accept", "--all", "--reason", "none is asked for"),
        ("cancel", "--all"),
        ("accept",),
        ("accept", "--all", "--document", "D-1"),
        ("burn", "--all"),
    ],
)
async def test_a_review_that_is_not_said_in_full_is_a_usage_error(
    sluice: Sluice, arguments: tuple[str, ...]
) -> None:
    assert (await sluice("review", "R-1", *arguments)).exit_code == 2


async def test_the_report_tells_executions_and_figures(runs: Runs, sluice: Sluice) -> None:
    await drafts(runs)
    answer = await sluice("report", "R-1", "--json")
    report = json.loads(answer.stdout)
    assert [each["step"] for each in report["executions"]] == ["invoice_lines", "invoices"]
    assert report["statistics"]["amounts"] == {"GBP": "200.00"}
    for_people = await sluice("report", "R-1", "--log")
    assert for_people.exit_code == 0
    assert "sales_invoice" in for_people.stdout
    assert "200.00 GBP" in for_people.stdout


async def test_an_unknown_run_is_a_failure(sluice: Sluice) -> None:
    for name in ("watch", "report", "documents"):
        answer = await sluice(name, "R-404")
        assert answer.exit_code == 1
        assert "not_found" in answer.stderr


async def test_a_run_is_not_numbered_without_the_scope_to_approve(
    runs: Runs, sluice: Sluice, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await drafts(runs)
    monkeypatch.setenv("SLUICE_TOKEN", issuer.token("billing-runs:read billing-runs:write"))
    body = {"scope": {"filter": {"project_id": "P-1"}}, "process_type": "full_automatic"}
    file = tmp_path / "run.json"
    file.write_text(json.dumps(body), encoding="utf-8")

    for refused in (await sluice("process", "R-1"), await sluice("create", str(file))):
        assert refused.exit_code == 1
        assert "billing-runs:approve" in refused.stderr

    assert await runs.state() == ("draft_invoices", "idle")
