"""`sluice demo` as a user runs it: it ends by itself, with 0 only if all happened and the books balance."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from sluice.infrastructure.choose import BrokerChoice

_FEWEST = 24
_SECONDS_MAX = 280


def run_demo(
    folder: Path, *arguments: str, broker: BrokerChoice | None = None
) -> tuple[int, dict[str, Any], str]:
    """The command's exit code, its report, and what it said meanwhile."""
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    if broker is not None:
        environment["SLUICE_BROKER"] = broker.value
    command = [sys.executable, "-m", "sluice.main", "demo", "--events", str(_FEWEST), "--json", *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS_MAX
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report, done.stderr


def check_report(code: int, report: dict[str, Any], said: str) -> None:
    """All happened as expected, and the books balance to the cent."""
    assert report["differences"] == [], said
    assert (code, report["ok"], report["balanced"]) == (0, True, True)
    assert [step["ok"] for step in report["steps"]] == [True] * len(report["steps"])
    assert {name for name, books in report["books"].items() if books["balanced"]} == {
        "release",
        "accounting-connector",
        "demo",
    }
    without_document = {event["no_document_because"] for event in report["released"]} - {None}
    assert without_document == {"zero_amount", "below_threshold"}
    # Two released events have none; the reverted one, no longer released, has an invoice and what takes it back.
    assert report["revert"]["billing_event_id"] not in {e["billing_event_id"] for e in report["released"]}
    assert len(report["documents"]) == (len(report["released"]) - 2) + 2
    assert set(report["totals"]) == {"GBP", "EUR", "JPY", "KWD"}
    assert report["split"]["remaining"] == {"before": "300.00", "after": "50.00"}
    optimised = report["budget_optimisation"]
    assert [half["amount"] for half in optimised["result"]["adjustments"]] == ["-50.00", "50.00"]
    assert (optimised["budget"]["remaining_before"], optimised["budget"]["remaining"]) == ("100.00", "0.00")
    assert report["revert"]["remaining"] == {"before": "0.00", "after": "50.00"}
    assert report["revert"]["taken_back_by"].startswith("SCN-")
    explained = [
        item["because"] for each in report["explanations"] for item in each["decisions"][-1]["items"]
    ]
    assert "140.00 is more than the 50.00 left of the bookings" in explained
    assert any("released in full with an adjustment of -50.00" in because for because in explained)
    assert report["billing_run"]["statuses"] == [
        "new",
        "invoice_lines_created",
        "rejected",
        "draft_invoices",
        "validated",
    ]
    refused = {code["code"] for refusal in report["refused"] for code in refusal["reasons"]}
    assert refused >= {"split_required", "on_hold", "company_missing", "batch_failed", "zero_amount"}
    assert len(report["dead_letters"]) == 3
    assert all(letter["reason"] for letter in report["dead_letters"])
    assert report["mails"]
    assert report["alerts"]


@pytest.mark.timeout(_SECONDS_MAX)
def test_the_demo_balances_and_leaves_nothing_running(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    code, report, said = run_demo(tmp_path, "--seed", "7", "--keep", str(keep))
    check_report(code, report, said)
    assert report["came_in"]["billing_events"] == _FEWEST
    assert json.loads((keep / "report.json").read_text("utf-8")) == report
    assert (keep / "logs" / "release.log").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(report["mail_page"], timeout=5, trust_env=False)
    data = next(line for line in said.splitlines() if line.startswith("state: ")).removeprefix("state: ")
    assert not Path(data).exists()


@pytest.mark.timeout(_SECONDS_MAX)
def test_the_demo_balances_with_the_fallback_broker(tmp_path: Path) -> None:
    code, report, said = run_demo(tmp_path, broker=BrokerChoice.FALLBACK)
    check_report(code, report, said)
    assert "fallback" in report["infrastructure"]["broker"]
    assert "NOT Apache Kafka" in said
