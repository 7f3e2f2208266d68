"""Logs: one JSON object a line, with ids and without values (quality.md, Security)."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.telemetry.logs import configure_logs, describe
from unit.shared.http.sample import CANARY


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logs("release", "release-1", stream=stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_what_when_where_and_how_grave(stream: io.StringIO) -> None:
    structlog.get_logger("shared.x").warning("line paused", line="psa", pause_seconds=2)
    (line,) = lines_of(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "line paused",
        "level": "warning",
        "logger": "shared.x",
        "service": "release",
        "instance": "release-1",
        "line": "psa",
        "pause_seconds": 2,
    }


def test_the_standard_library_goes_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("another.package").error("lost %s connections", 3)
    (line,) = lines_of(stream)
    assert (line["event"], line["level"], line["logger"]) == (
        "lost 3 connections",
        "error",
        "another.package",
    )
    assert line["service"] == "release"


def test_a_line_within_a_span_carries_its_ids(stream: io.StringIO, spans: InMemorySpanExporter) -> None:
    with trace.get_tracer("tests").start_as_current_span("work") as span:
        context = span.get_span_context()
        structlog.get_logger().info("working")
        logging.getLogger("another.package").warning("working")
    for line in lines_of(stream):
        assert line["trace_id"] == f"{context.trace_id:032x}"
        assert line["span_id"] == f"{context.span_id:016x}"
    assert len(lines_of(stream)) == 2


@pytest.mark.parametrize(
    "logger", [structlog.get_logger("a"), logging.getLogger("b")], ids=["structlog", "standard"]
)
def test_an_exception_is_told_without_its_words(stream: io.StringIO, logger: Any) -> None:
    try:
        try:
            raise KeyError(CANARY)
        except KeyError as cause:
            raise ValueError(CANARY) from cause
    except ValueError:
        logger.exception("it failed")
    (line,) = lines_of(stream)
    assert (line["event"], line["error_type"], line["cause_type"]) == ("it failed", "ValueError", "KeyError")
    assert "test_logs.py" in line["where"][-1]
    assert CANARY not in stream.getvalue()


def test_a_rule_of_postgresql_is_named_and_the_row_is_not() -> None:
    error = asyncpg.UniqueViolationError.new(
        {
            "C": "23505",
            "S": "ERROR",
            "M": "duplicate key",
            "D": f"Key (name)=({CANARY})",
            "n": "notes_pkey",
            "t": "notes",
        }
    )
    described = describe(error)
    assert described["sqlstate"] == "23505"
    assert (described["constraint_name"], described["table_name"]) == ("notes_pkey", "notes")
    assert CANARY not in str(described)


def test_lower_levels_and_talkative_libraries_are_quiet(stream: io.StringIO) -> None:
    structlog.get_logger().debug("detail")
    logging.getLogger("httpx").info("HTTP Request: GET https://example.com/?q=%s", CANARY)
    logging.getLogger("uvicorn.access").info("GET /notes?q=%s", CANARY)
    logging.getLogger("uvicorn.error").info("Started")
    assert [line["event"] for line in lines_of(stream)] == ["Started"]


def test_a_value_that_json_does_not_know_is_named_by_its_type(stream: io.StringIO) -> None:
    structlog.get_logger().info("odd", value=ValueError(CANARY))
    (line,) = lines_of(stream)
    assert line["value"] == "ValueError"


def test_the_level_can_be_set_and_a_second_call_replaces_the_first(stream: io.StringIO) -> None:
    second = io.StringIO()
    configure_logs("release", "release-1", level="debug", stream=second)
    structlog.get_logger().debug("detail")
    assert stream.getvalue() == ""
    assert [line["event"] for line in lines_of(second)] == ["detail"]
