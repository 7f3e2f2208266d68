"""The telemetry of the tests' process: its providers can be set once, so one place sets them, for all tests alike."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.telemetry.metrics import configure_metrics
from shared.telemetry.traces import AllowedAttributesExporter

SERVICE: Final = "tests"


class _ToWhoLooks(SpanExporter):
    """Hands spans to those who look just now, and keeps none."""

    def __init__(self) -> None:
        self.looking: list[InMemorySpanExporter] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for each in self.looking:
            each.export(spans)
        return SpanExportResult.SUCCESS


@cache
def _spans_of_this_process() -> _ToWhoLooks:
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    exporter = _ToWhoLooks()
    provider.add_span_processor(SimpleSpanProcessor(AllowedAttributesExporter(exporter)))
    trace.set_tracer_provider(provider)
    assert trace.get_tracer_provider() is provider, "something else has set the process's tracer provider"
    return exporter


@contextmanager
def exported_spans() -> Iterator[InMemorySpanExporter]:
    """The spans that leave the process from now on, as a service would export them."""
    exporter = _spans_of_this_process()
    seen = InMemorySpanExporter()
    exporter.looking.append(seen)
    try:
        yield seen
    finally:
        exporter.looking.remove(seen)


@cache
def measure() -> None:
    """Let the process's metrics be counted; what others have counted before stays in them."""
    configure_metrics(SERVICE, f"{SERVICE}-1")
