"""`sluice demo` as a user runs it: it ends by itself, with 0 only if all happened and the books balance."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from judges.archived_pages import PageJudge
from judges.electronic_invoices import Rules, Schemas
from sluice.infrastructure.choose import BrokerChoice

_FEWEST = 29
_SECONDS_MAX = 540


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
    assert without_document == {"zero_amount", "below_threshold", "correction_exceeds"}
    # Three released events have none; the reverted one, no longer released, has an invoice and what takes it back.
    assert report["revert"]["billing_event_id"] not in {e["billing_event_id"] for e in report["released"]}
    assert len(report["documents"]) == (len(report["released"]) - 3) + 2
    assert set(report["totals"]) == {"GBP", "EUR", "JPY", "KWD"}
    assert report["split"]["remaining"] == {"before": "300.00", "after": "50.00"}
    optimised = report["budget_optimisation"]
    assert [half["amount"] for half in optimised["result"]["adjustments"]] == ["-50.00", "50.00"]
    assert (optimised["budget"]["remaining_before"], optimised["budget"]["remaining"]) == ("100.00", "0.00")
    assert report["double_billing"]["billed_by"] not in {None, report["double_billing"]["billing_event_id"]}
    (left_out,) = report["left_out"]["items"]
    assert (left_out["amount"], left_out["criterion"]) == ("20.00", 'description != "warranty work"')
    assert report["left_out"]["log_entry"]["result"] == "warning"
    assert report["left_out"]["new_billing_event_id"] == f"{report['left_out']['billing_event_id']}.2"
    assert report["partial_credit"]["credited"]["total_net"] == "80.00"
    assert list(report["partial_credit"]["left"].values()) == ["120.00"]
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
        "draft_invoices",  # what the rule rejected is in quarantine
        "rejected",
        "draft_invoices",  # what somebody doubted is accepted
        "validated",
    ]
    assert report["billing_run"]["quarantine"]["statuses"] == ["rejected", "draft_invoices", "validated"]
    refused = {code["code"] for refusal in report["refused"] for code in refusal["reasons"]}
    assert refused >= {
        "record_already_billed",
        "split_required",
        "on_hold",
        "company_missing",
        "batch_failed",
        "zero_amount",
    }
    assert len(report["dead_letters"]) == 3
    assert all(letter["reason"] for letter in report["dead_letters"])
    assert report["mails"]
    assert report["alerts"]


@dataclass(frozen=True, slots=True)
class Played:
    """A demo that was played: how it ended, its report, what it said meanwhile, and the folder that it left."""

    code: int
    report: dict[str, Any]
    said: str
    kept: Path

    @property
    def names(self) -> dict[str, str]:
        """What the files of each document are called, with the document's currency."""
        return {
            f"{document['company']['id']}-{document['number']}": document["currency"]
            for document in self.report["documents"]
        }


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """One demo, for all that is to be seen of it."""
    folder = tmp_path_factory.mktemp("demo")
    return Played(*run_demo(folder, "--seed", "7", "--keep", str(folder / "kept")), folder / "kept")


def test_the_demo_balances_and_leaves_nothing_running(played: Played) -> None:
    report = played.report
    check_report(played.code, report, played.said)
    assert report["came_in"]["billing_events"] == _FEWEST
    assert json.loads((played.kept / "report.json").read_text("utf-8")) == report
    assert (played.kept / "logs" / "release.log").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(report["mail_page"], timeout=60, trust_env=False)
    states = [line for line in played.said.splitlines() if line.startswith("state: ")]
    assert not Path(states[0].removeprefix("state: ")).exists()


def test_the_official_rules_accept_every_document_of_the_demo(
    played: Played, schemas: Schemas, rules: Rules
) -> None:
    without = {name for name, currency in played.names.items() if currency == "KWD"}
    assert without, "three decimals are more than the norm can hold"
    refused = dict.fromkeys((f"{name}.xml" for name in without), "currency_not_expressible")
    assert played.report["files"]["refused"] == refused
    files = {file.stem: file.read_bytes() for file in (played.kept / "documents").glob("*.xml")}
    assert files.keys() == played.names.keys() - without
    for name, content in files.items():
        assert schemas.errors(content) == [], name
        assert rules.judge(content).failed == set(), name


def test_every_page_of_the_demo_can_be_archived(played: Played, page_judge: PageJudge) -> None:
    files = sorted((played.kept / "documents").glob("*.pdf"))
    assert {file.stem for file in files} == played.names.keys()
    failures = page_judge.failures(files)
    assert {name: clauses for name, clauses in failures.items() if clauses} == {}


def test_the_demo_balances_with_the_fallback_broker(tmp_path: Path) -> None:
    code, report, said = run_demo(tmp_path, broker=BrokerChoice.FALLBACK)
    check_report(code, report, said)
    assert "fallback" in report["infrastructure"]["broker"]
    assert "NOT Apache Kafka" in said
