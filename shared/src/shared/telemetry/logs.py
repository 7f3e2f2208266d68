"""Logs: one JSON object a line on standard output, with trace and span, service and instance.

Logs name things by their ids. What a message, a request or a database row holds (names, amounts, texts)
stays out: of an exception only its type and place are written, for its message may quote what it choked on.
"""

import logging
import sys
import traceback
from types import TracebackType
from typing import Any, Final, TextIO

import orjson
import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.telemetry.repeats import Repeats

FRAMES_MAX: Final = 12

_QUIET_LOGGERS: Final = {
    "aiokafka": logging.WARNING,
    "faststream": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,  # writes whole addresses, queries included
    "uvicorn.access": logging.CRITICAL,  # so does this one; the metrics count requests
}


def configure_logs(service: str, instance: str, *, level: str = "info", stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records through one pipeline to `stream` (standard output).

    `level` is the lowest level written: debug, info, warning or error. A second call replaces the first.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _add_origin(service, instance),
        _add_trace,
        _describe_exception,
    ]
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, lowest in _QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(max(lowest, root.level))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "faststream"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def describe(error: BaseException) -> dict[str, Any]:
    """What may be written of an exception: its type, where it came from, and PostgreSQL's names for the rule.

    The message is left out on purpose, and so are those of its causes.
    """
    described: dict[str, Any] = {"error_type": _type_name(type(error)), "where": _frames(error.__traceback__)}
    if error.__cause__ is not None:
        described["cause_type"] = _type_name(type(error.__cause__))
    for name in ("sqlstate", "constraint_name", "table_name"):
        value = getattr(error, name, None)
        if isinstance(value, str):
            described[name] = value
    return described


def _type_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _frames(origin: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(origin)[-FRAMES_MAX:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _add_origin(service: str, instance: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        event["instance"] = instance
        return event

    return add


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    if isinstance(given, tuple):
        given = given[1]
    if isinstance(given, BaseException):
        event.update(describe(given))
    return event


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=_type_of).decode()


def _type_of(value: object) -> str:
    return _type_name(type(value))
