"""Every subscriber of every service has the options without which FastStream loses messages (architecture.md)."""

import ast
import importlib
from pathlib import Path
from typing import Any

import pytest
from faststream import AckPolicy

from shared.database.database import Database
from shared.messaging.batches import Line
from shared.messaging.polling import Polling
from shared.service import make_broker, make_consumers
from shared.settings import ServiceSettings

SERVICES = ["release", "accounting-connector", "billing-runs", "notifier"]
ONLY_LINES_SUBSCRIBE = "shared/src/shared/messaging/lines.py"


async def _handle(work: Any, messages: Any) -> None:
    raise NotImplementedError


@pytest.fixture
def subscribers() -> list[Any]:
    settings = ServiceSettings(
        kafka_bootstrap_servers="127.0.0.1:1",
        database_url="postgresql://nobody@127.0.0.1:1/none",
        http_port=0,
        oidc_issuer="http://issuer.example",
    )
    database = Database("postgresql://nobody@127.0.0.1:1/none", schema="release", application_name="tests")
    broker = make_broker(settings, service="release")
    lines = [Line(name, ("psa.accounts",), frozenset(), _handle) for name in ("one", "two")]
    make_consumers(broker, database, lines, service="release", settings=settings)
    return list(broker.subscribers)


def test_subscribers_neither_lose_nor_skip_nor_answer(subscribers: list[Any]) -> None:
    assert len(subscribers) == 2
    for subscriber in subscribers:
        assert subscriber.ack_policy is AckPolicy.NACK_ON_ERROR
        assert subscriber._no_reply is True
        assert subscriber.group_id
        options = subscriber._connection_args
        assert options["auto_offset_reset"] == "earliest"
        assert options["isolation_level"] == "read_committed"
        assert options["enable_auto_commit"] is False
        assert options["session_timeout_ms"] == 45_000
        assert options["group_instance_id"]
        assert [assignor.name for assignor in options["partition_assignment_strategy"]] == ["sticky"]
        assert subscriber.max_records == 500
        assert isinstance(subscriber.get_msg.__self__, Polling)
        assert 20 <= subscriber.batch_timeout_ms <= 50


def test_nobody_else_subscribes_or_publishes(repository: Path) -> None:
    """One way to subscribe, and nothing past the outbox."""
    found = []
    for path in sorted([*repository.glob("shared/src/**/*.py"), *repository.glob("services/*/src/**/*.py")]):
        name = path.relative_to(repository).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in (
                "subscriber",
                "publisher",
                "publish_batch",
                "include_router",
            ):
                receiver = ast.unparse(node.value)
                if "broker" in receiver or node.attr == "publish_batch":
                    found.append((name, node.attr))
    assert found == [(ONLY_LINES_SUBSCRIBE, "subscriber")]


def test_every_other_consumer_of_ours_reads_what_is_committed(repository: Path) -> None:
    """The command's readers, the benchmarks' and those that check the books see what the services see."""
    found = {}
    for folder in ("shared/src", "services", "deploy/local/src", "tests/support"):
        for path in sorted((repository / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("AIOKafkaConsumer"):
                    options = {option.arg: ast.unparse(option.value) for option in node.keywords}
                    found[path.name, node.lineno] = options.get("isolation_level")
    assert len(found) >= 6
    assert set(found.values()) == {"ISOLATION_LEVEL"}


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_can_be_imported(service: str) -> None:
    importlib.import_module(f"{service.replace('-', '_')}.main")
