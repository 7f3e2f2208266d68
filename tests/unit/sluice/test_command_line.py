"""The commands' answers and exit codes (contract.md section 3): 0 done, 1 failed, 2 usage."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from typer.testing import CliRunner

from sluice.commands.up import where_to_look
from sluice.main import app
from sluice.services import SERVICES
from sluice.state import State
from sluice.tokens import ensure_key

REFUSAL = {
    "title": "Refused",
    "code": "refused",
    "reasons": [{"code": "on_hold", "message": "It is on hold.", "detail": {}}],
    "preview": None,
}


class Stand(ThreadingHTTPServer):
    """A stand-in for a service: answers by path, and keeps what it was asked."""

    def __init__(self, answers: dict[str, tuple[int, Any]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, Any]] = []
        self.tokens: set[str | None] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Stand

    def do_GET(self) -> None:
        self._answer("GET", None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer("POST", json.loads(body))

    def _answer(self, method: str, body: Any) -> None:
        self.server.asked.append((method, self.path, body))
        self.server.tokens.add(self.headers["Authorization"])
        status, answer = self.server.answers[self.path.partition("?")[0]]
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    server = Stand({})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("SLUICE_TOKEN", "secret")
    for service in ("RELEASE", "ACCOUNTING_CONNECTOR", "BILLING_RUNS"):
        monkeypatch.setenv(f"SLUICE_{service}_URL", server.url)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def sluice(*arguments: str) -> tuple[int, str, str]:
    """Run the command: exit code, standard output, standard error."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def test_a_released_event_is_told_and_the_token_is_sent(stand: Stand) -> None:
    stand.answers["/billing-events/BE-1/release"] = (200, {"outcome": "released", "adjustments": []})
    code, output, _ = sluice("release", "BE-1", "--on-cap", "split", "--json")
    assert code == 0
    assert json.loads(output)["outcome"] == "released"
    assert stand.asked == [("POST", "/billing-events/BE-1/release", {"on_cap": "split"})]
    assert stand.tokens == {"Bearer secret"}


def test_a_refusal_exits_with_1_and_its_reasons(stand: Stand) -> None:
    stand.answers["/billing-events/BE-1/release"] = (409, REFUSAL)
    code, output, complaint = sluice("release", "BE-1", "--json")
    assert code == 1
    assert json.loads(output) == REFUSAL
    assert "on_hold" in complaint


def test_a_job_takes_exactly_one_way_to_say_what_is_meant(stand: Stand) -> None:
    assert sluice("job", "start")[0] == 2
    assert sluice("job", "start", "--event", "BE-1", "--project", "P-1")[0] == 2
    assert stand.asked == []


def test_a_job_is_started_over_a_filter_and_waited_for(stand: Stand) -> None:
    ended = {"job_id": "J-1", "status": "completed", "released": 2, "failed": 1, "failures": []}
    stand.answers["/release-jobs"] = (202, {"job_id": "J-1", "status": "queued"})
    stand.answers["/release-jobs/J-1"] = (200, ended)
    code, output, _ = sluice(
        "job", "start", "--project", "P-1", "--date-from", "2026-11-01", "--wait", "--json"
    )
    assert code == 1, "events failed"
    assert json.loads(output) == ended
    select = {"filter": {"project_id": "P-1", "date_from": "2026-11-01"}}
    assert stand.asked[0] == (
        "POST",
        "/release-jobs",
        {
            "select": select,
            "mode": "background",
            "and_invoice": False,
            "on_chunk_failure": None,
            "dry_run": False,
        },
    )


def test_a_job_is_narrowed_started_from_a_dry_run_and_stopped(stand: Stand) -> None:
    stand.answers["/release-jobs"] = (202, {"job_id": "J-1", "status": "queued"})
    stand.answers["/release-jobs/J-1/stop"] = (202, {"job_id": "J-1", "status": "stopped", "stopped": 3})
    narrowed = ("--batch", "BB-1", "--exclude", "BE-2", "--as-of", "2026-12-01T10:00:00Z")
    assert sluice("job", "start", *narrowed, "--on-chunk-failure", "isolate")[0] == 0
    assert sluice("job", "start", "--from-dry-run", "J-9")[0] == 0
    code, output, told = sluice("job", "stop", "J-1")
    assert (code, "3 stopped" in output + told) == (0, True)
    bodies = [body for _, _, body in stand.asked]
    assert bodies[0]["select"] == {
        "batch_ids": ["BB-1"],
        "exclude_ids": ["BE-2"],
        "as_of": "2026-12-01T10:00:00Z",
    }
    assert bodies[0]["on_chunk_failure"] == "isolate"
    assert bodies[1]["select"] == {"dry_run_id": "J-9", "result": "would_release"}


def test_a_job_that_waits_says_for_what(stand: Stand) -> None:
    waits_for = [{"billing_event_id": "BE-7", "for": "project P-9"}]
    job = {"job_id": "J-1", "status": "running", "released": 2, "failed": 0, "pending": 1}
    stand.answers["/release-jobs/J-1"] = (200, job | {"waits_for": waits_for})
    code, output, _ = sluice("job", "show", "J-1")
    assert (code, "BE-7" in output, "project P-9" in output) == (0, True, True)


def test_a_runs_scope_is_narrowed(stand: Stand) -> None:
    stand.answers["/billing-runs"] = (201, {"run_id": "R-1", "status": "new"})
    narrowed = ("--project", "P-1", "--exclude", "BE-2", "--as-of", "2026-12-01T10:00:00Z")
    assert sluice("run", "create", *narrowed, "--json")[0] == 0
    assert stand.asked[0][2]["scope"] == {
        "filter": {"project_id": "P-1"},
        "exclude_ids": ["BE-2"],
        "as_of": "2026-12-01T10:00:00Z",
    }


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"a":' * 3000, b'{"threshold": 1e400}', b'{"threshold": NaN}'],
)
def test_a_run_is_not_created_from_what_is_no_json(stand: Stand, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(content)
    code, _, complaint = sluice("run", "create", str(file))
    assert (code, stand.asked) == (2, [])
    assert "run.json" in complaint


def test_a_run_is_not_created_from_a_folder(stand: Stand, tmp_path: Path) -> None:
    assert sluice("run", "create", str(tmp_path))[0] == 2


def test_a_refusal_names_the_fields_that_are_wrong(stand: Stand) -> None:
    problem = {
        "title": "Not valid",
        "code": "validation_failed",
        "errors": [{"field": "kind", "message": "is odd"}],
    }
    stand.answers["/release-jobs"] = (422, problem)
    code, _, complaint = sluice("job", "start", "--event", "BE-1")
    assert code == 1
    assert "validation_failed Not valid: kind is odd" in complaint


def test_a_list_is_read_page_by_page_up_to_the_limit(stand: Stand) -> None:
    stand.answers["/release-jobs"] = (200, {"items": [{"job_id": "J-1"}], "next_cursor": "more"})
    code, output, _ = sluice("job", "list", "--limit", "3", "--json")
    assert code == 0
    assert len(json.loads(output)["items"]) == 3
    assert "cursor=more" in stand.asked[1][1]


@pytest.mark.parametrize(("balanced", "code"), [(True, 0), (False, 1)])
def test_reconcile_fails_unless_the_books_balance(stand: Stand, balanced: bool, code: int) -> None:
    report = {"balanced": balanced, "checks": [{"check": "ledger", "balanced": balanced, "differences": []}]}
    stand.answers["/reconciliation"] = (200, report)
    found, output, _ = sluice("reconcile", "--json")
    assert found == code
    assert json.loads(output)["balanced"] is balanced


def test_differences_are_shown_in_full(stand: Stand) -> None:
    difference = {"project_id": "P-1", "ledger": "10.00", "total": "12.00"}
    check = {"check": "project_totals_match_ledger", "balanced": False, "differences": [difference]}
    stand.answers["/reconciliation"] = (200, {"balanced": False, "checks": [check]})
    code, output, complaint = sluice("reconcile")
    assert (code, complaint.strip()) == (1, "the books do NOT balance")
    assert "project_id P-1, ledger 10.00, total 12.00" in output


def test_a_service_that_is_away_is_a_failure_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_TOKEN", "secret")
    monkeypatch.setenv("SLUICE_RELEASE_URL", "http://127.0.0.1:9")
    code, _, complaint = sluice("release", "BE-1")
    assert code == 1
    assert "cannot be reached" in complaint


def test_usage_errors_exit_with_2(tmp_path: Path) -> None:
    assert sluice("up", "--ephemeral", "--data", str(tmp_path))[0] == 2
    assert sluice("up", "--broker", "rabbit")[0] == 2
    assert sluice("token", "--scopes", "everything", "--user", "u1")[0] == 2
    assert sluice("dead-letters", "list", "nobody")[0] == 2
    assert sluice("dead-letters", "replay", "release")[0] == 2
    assert sluice("dead-letters", "show", "release", "first")[0] == 2


@pytest.mark.parametrize("command", ["topics", "acls"])
@pytest.mark.parametrize("content", [b"a host", b"[]", b"{", b"defaults: {}", b"\xff"])
def test_a_file_that_says_something_else_is_a_failure_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, content: bytes
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    file = tmp_path / "file.yaml"
    file.write_bytes(content)
    code, _, complaint = sluice(command, "--file", str(file))
    assert code == 1
    assert str(file) in complaint.replace("\n", "")


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "::::", "topics"),
        ("KAFKA_SECURITY_PROTOCOL", "LOUD", "topics"),
        ("KAFKA_BOOTSTRAP_SERVERS", "nowhere", "acls"),
    ],
)
def test_a_wrong_setting_of_a_command_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, command: str
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv(name, value)
    code, _, complaint = sluice(command)
    assert code == 2
    assert name in complaint


def test_a_database_address_that_is_none_is_a_failure_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    code, _, complaint = sluice("migrate")
    assert code == 1
    assert "DSN" in complaint


def test_what_is_to_be_kept_has_a_place_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert sluice("demo", "--keep", str(tmp_path / "file"))[0] == 1
    assert sluice("bench", "--only", "P7", "--write", str(tmp_path / "missing" / "report.md"))[0] == 2


@pytest.mark.parametrize(
    ("options", "address"),
    [
        (["--user", "u1"], "u1@example.com"),
        (["--user", "ann@port.example"], "ann@port.example"),
        (["--user", "u1", "--email", "u1@port.example"], "u1@port.example"),
    ],
)
def test_a_token_names_an_address_so_that_its_user_is_told(
    tmp_path: Path, options: list[str], address: str
) -> None:
    state = State(tmp_path)
    state.prepare()
    ensure_key(state)
    _, output, _ = sluice("token", "--scopes", "alerts:read", *options, "--data", str(tmp_path))
    claims = jwt.decode(output.strip(), options={"verify_signature": False})
    assert claims["email"] == address


def test_a_command_does_not_wait_for_what_another_one_needs() -> None:
    asked = "import sys; from sluice.main import app; app(['token', '--help'], standalone_mode=False); "
    loaded = "print('LOADED', *(name for name in sys.modules if name.startswith('sluice.')))"
    done = subprocess.run(
        [sys.executable, "-c", asked + loaded], capture_output=True, text=True, check=True, timeout=120
    )
    names = done.stdout.partition("LOADED")[2].split()
    assert "sluice.commands.token" in names
    assert not {"sluice.commands.up", "sluice.benchmarks.suite", "sluice.system"}.intersection(names)


def test_a_token_is_printed_for_the_system_in_a_folder(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.prepare()
    ensure_key(state)
    code, output, _ = sluice("token", "--scopes", "alerts:read", "--user", "u1", "--data", str(tmp_path))
    assert code == 0
    assert output.count(".") == 2
    assert (
        sluice("token", "--scopes", "alerts:read", "--user", "u1", "--data", str(tmp_path / "none"))[0] == 1
    )


def test_whoever_has_started_the_system_is_told_where_to_look() -> None:
    summary = {service.module: f"http://127.0.0.1:{service.port}" for service in SERVICES}
    lines = where_to_look(summary | {"mail_page": "http://127.0.0.1:8025"}, "a.b.c")
    told = {line.split()[0]: line.split()[-1] for line in lines if line.startswith("  ")}
    pages = {service.name: f"http://127.0.0.1:{service.port}/docs" for service in SERVICES}
    assert told == pages | {"mails": "http://127.0.0.1:8025", "a.b.c": "a.b.c"}
    assert "mails" not in " ".join(where_to_look(summary | {"mail_page": None}, "a.b.c"))
