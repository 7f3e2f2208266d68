"""Spans of batches and requests: links, ids, and nothing else (architecture.md, telemetry)."""

from typing import Any

import pytest
from aiokafka import ConsumerRecord
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.telemetry.traces import (
    LINKS_MAX,
    UNLINKED_COUNT,
    MessageLink,
    configure_traces,
    current_traceparent,
    message_traceparent,
    process_span,
    send_spans,
)
from unit.shared.http.sample import CANARY, Issuer, client_of, failing_router, sample_application

TRACE = "0af7651916cd43dd8448eb211c80319c"


def traceparent(number: int) -> str:
    return f"00-{TRACE}-{number:016x}-01"


def record(offset: int, *headers: tuple[str, Any]) -> "ConsumerRecord[bytes, bytes]":
    return ConsumerRecord("topic", 3, offset, 0, 0, b"key", b"value", None, 0, 0, headers)


def test_there_is_no_trace_context_outside_of_a_span() -> None:
    assert current_traceparent() is None


def test_a_message_made_outside_of_a_span_begins_a_trace_of_its_own() -> None:
    first, second = message_traceparent(), message_traceparent()
    for made in (first, second):
        carrier = {"traceparent": made}
        assert (
            trace.get_current_span(TraceContextTextMapPropagator().extract(carrier))
            .get_span_context()
            .is_valid
        )
    assert first != second


def test_a_message_made_in_a_span_is_of_its_trace(spans: InMemorySpanExporter) -> None:
    with trace.get_tracer("tests").start_as_current_span("work"):
        assert message_traceparent() == current_traceparent()


def test_the_trace_context_is_that_of_the_current_span(spans: InMemorySpanExporter) -> None:
    with trace.get_tracer("tests").start_as_current_span("work") as span:
        context = span.get_span_context()
        written: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(written)
        assert context.is_valid
        assert current_traceparent() == written["traceparent"]


def test_a_batch_is_one_span_with_a_link_to_each_record(spans: InMemorySpanExporter) -> None:
    records = [
        record(n, ("traceparent", traceparent(n + 1).encode()), ("ce_id", f"M-{n}".encode()))
        for n in range(3)
    ]
    with process_span("release.events", "connector", records):
        inside = current_traceparent()
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind, span.parent) == ("process release.events", SpanKind.CONSUMER, None)
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "release.events",
        "messaging.consumer.group.name": "connector",
        "messaging.batch.message_count": 3,
        UNLINKED_COUNT: 0,
    }
    assert [link.context.span_id for link in span.links] == [1, 2, 3]
    assert {f"{link.context.trace_id:032x}" for link in span.links} == {TRACE}
    assert span.links[1].attributes == {
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 1,
        "messaging.message.id": "M-1",
    }
    assert span.context is not None
    assert inside is not None
    assert f"{span.context.span_id:016x}" in inside


def test_links_are_bounded_and_the_rest_is_counted(spans: InMemorySpanExporter) -> None:
    records = [record(n, ("traceparent", traceparent(n + 1).encode())) for n in range(LINKS_MAX + 10)]
    with process_span("t", "g", [record(0), *records]):
        pass
    (span,) = spans.get_finished_spans()
    assert len(span.links) == LINKS_MAX
    assert span.attributes is not None
    assert span.attributes[UNLINKED_COUNT] == 11


@pytest.mark.parametrize(
    "value",
    [None, b"", b"nonsense", b"\xff\xfe", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01", b"x" * 10_000],
)
def test_a_trace_context_that_is_none_does_no_harm(spans: InMemorySpanExporter, value: bytes | None) -> None:
    with process_span("t", "g", [record(0, ("traceparent", value), ("ce_id", b"\xff"))]):
        pass
    (span,) = spans.get_finished_spans()
    assert span.links == ()


def test_a_batch_that_fails_says_so_without_words(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="Zanzibar"), process_span("t", "g", []):
        raise ValueError(CANARY)
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"
    assert CANARY not in span.to_json()


def test_a_send_is_linked_to_what_made_the_messages(spans: InMemorySpanExporter) -> None:
    messages = [
        ("release.events", MessageLink("M-1", traceparent(7))),
        ("notifier.events", MessageLink("M-3", traceparent(8))),
        ("release.events", MessageLink("M-2", None)),
    ]
    with send_spans(messages):
        pass
    other, span = spans.get_finished_spans()
    assert (other.name, other.parent, span.parent) == ("send notifier.events", None, None)
    assert (span.name, span.kind) == ("send release.events", SpanKind.PRODUCER)
    assert [(link.context.span_id, link.attributes) for link in span.links] == [
        (7, {"messaging.message.id": "M-1"})
    ]
    assert span.attributes is not None
    assert span.attributes[UNLINKED_COUNT] == 1


def test_without_an_endpoint_spans_have_ids_and_record_nothing(spans: InMemorySpanExporter) -> None:
    tracer = configure_traces("tests", "tests-1", endpoint=None).get_tracer("tests")
    with tracer.start_as_current_span("work") as span:
        context = span.get_span_context()
        assert not span.is_recording()
        assert not context.trace_flags.sampled
        assert f"{context.trace_id:032x}-{context.span_id:016x}" in (current_traceparent() or "")


def test_only_listed_attributes_leave_the_process(spans: InMemorySpanExporter) -> None:
    with trace.get_tracer("tests").start_as_current_span(
        "work", attributes={"customer": CANARY, "http.route": "/a"}
    ) as s:
        s.add_event("seen", {"customer": CANARY})
        s.record_exception(ValueError(CANARY))
        s.set_status(StatusCode.ERROR, CANARY)
    (span,) = spans.get_finished_spans()
    assert span.attributes == {"http.route": "/a"}
    assert span.resource.attributes["service.name"] == "tests"
    assert CANARY not in span.to_json()


async def test_a_request_is_a_span_of_the_callers_trace_without_its_query(
    spans: InMemorySpanExporter,
) -> None:
    issuer = Issuer()
    issuer.add_key("one")
    application = sample_application(issuer)
    async with client_of(application, issuer.token()) as client:
        headers = {"traceparent": traceparent(5)}
        response = await client.get("/notes/N1", params={"number": CANARY}, headers=headers)
        assert response.status_code == 422
        assert (await client.get(f"/notes/{CANARY}")).status_code == 422
        await client.get("/health/live")
    first, second = spans.get_finished_spans()
    assert (first.name, first.kind) == ("GET /notes/{note_id}", SpanKind.SERVER)
    assert first.parent is not None
    assert (f"{first.parent.trace_id:032x}", first.parent.span_id) == (TRACE, 5)
    assert first.attributes is not None
    assert first.attributes["http.response.status_code"] == 422
    assert first.attributes["http.route"] == "/notes/{note_id}"
    assert "Zanzibar" not in first.to_json() + second.to_json()


async def test_a_request_that_breaks_is_an_error_without_words(spans: InMemorySpanExporter) -> None:
    issuer = Issuer()
    issuer.add_key("one")
    async with client_of(sample_application(issuer, routers=[failing_router()]), issuer.token()) as client:
        await client.get("/broken")
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"
    assert CANARY not in span.to_json()
