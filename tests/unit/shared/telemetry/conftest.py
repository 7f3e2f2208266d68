from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from support.telemetry import exported_spans


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What leaves the process during the test."""
    with exported_spans() as seen:
        yield seen
