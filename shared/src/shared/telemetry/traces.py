"""Traces: spans for requests, batches and sends, in the semantic conventions of OpenTelemetry for messaging.

A batch mixes records of many traces, so its one span has no parent among them but a link to each. Only the
attributes in ALLOWED_ATTRIBUTES leave the process: ids, counts and states, never names, amounts or texts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

LINKS_MAX: Final = 128
"""Links on one span; the OpenTelemetry SDK's own default limit."""

UNLINKED_COUNT: Final = "sluice.batch.unlinked_count"
"""How many messages of a batch have no link: beyond LINKS_MAX, or without a trace of their own."""

ALLOWED_ATTRIBUTES: Final = frozenset(
    {
        "error.type",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "messaging.batch.message_count",
        "messaging.consumer.group.name",
        "messaging.destination.name",
        "messaging.destination.partition.id",
        "messaging.kafka.offset",
        "messaging.message.id",
        "messaging.operation.name",
        "messaging.operation.type",
        "messaging.system",
        "network.protocol.version",
        "server.port",
        "url.scheme",
        UNLINKED_COUNT,
    }
)

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_IDS: Final = RandomIdGenerator()
_TRACER: Final = trace.get_tracer("sluice")
_MESSAGE_ID_HEADER: Final = "ce_id"
_TRACE_HEADER: Final = "traceparent"

_Link = tuple[str | None, Mapping[str, AttributeValue]]
"""The trace context of a message, if it has one, and what the link says."""


class MessageLink(NamedTuple):
    """A message that a span is about: its id and the trace it belongs to (`traceparent`), if any."""

    message_id: str
    traceparent: str | None


class AllowedAttributesExporter(SpanExporter):
    """Hands spans on with ALLOWED_ATTRIBUTES only, without events and status texts, which quote values."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export what may leave the process."""
        return self._exporter.export([_reduced(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what waits; whether it was done in time (milliseconds)."""
        return self._exporter.force_flush(timeout_millis)


def configure_traces(service: str, instance: str, *, endpoint: str | None) -> TracerProvider:
    """Set the process's tracer provider; spans are sent by OTLP over HTTP only if an endpoint is given.

    Without one spans only have ids, which go into messages and logs, and record nothing. `endpoint` is the base
    address in the setting OTEL_EXPORTER_OTLP_ENDPOINT (contract.md section 4).
    """
    provider = TracerProvider(
        sampler=ALWAYS_OFF if endpoint is None else ALWAYS_ON,
        resource=Resource.create({"service.name": service, "service.instance.id": instance}),
    )
    if endpoint is not None:
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
        provider.add_span_processor(BatchSpanProcessor(AllowedAttributesExporter(exporter)))
    trace.set_tracer_provider(provider)
    return provider


def current_traceparent() -> str | None:
    """The W3C trace context of the current span, as it goes into messages; None outside of a span."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return _traceparent(context.trace_id, context.span_id, context.trace_flags)


def message_traceparent() -> str:
    """The W3C trace context that a message carries: the current span's; outside of a span a new, unsampled one."""
    found = current_traceparent()
    if found is not None:
        return found
    return _traceparent(_IDS.generate_trace_id(), _IDS.generate_span_id(), TraceFlags.DEFAULT)


def _traceparent(trace_id: int, span_id: int, flags: int) -> str:
    return f"00-{trace.format_trace_id(trace_id)}-{trace.format_span_id(span_id)}-{flags:02x}"


@contextmanager
def process_span(
    topic: str, group: str, records: "Sequence[ConsumerRecord[bytes, bytes]]"
) -> Iterator[trace.Span]:
    """One `process {topic}` span around the handling of a batch, with a link to the trace of each record.

    `topic` is the topic, or the name of a line of several; `group` the consumer group. The first LINKS_MAX
    records that carry a trace are linked, with partition, offset and message id; UNLINKED_COUNT counts the rest.
    """
    attributes = _batch_attributes("process", topic, len(records))
    attributes["messaging.consumer.group.name"] = group
    with _span(f"process {topic}", SpanKind.CONSUMER, attributes) as span:
        if span.is_recording():
            _link(span, map(_record_link, records), len(records))
        yield span


@contextmanager
def send_spans(messages: Iterable[tuple[str, MessageLink]]) -> Iterator[None]:
    """A `send {topic}` span for each topic around sending these messages, with a link to the trace of each of them.

    The messages keep their own trace context: whoever reads them continues their story, not the relay's.
    """
    by_topic = dict[str, list[MessageLink]]()
    for topic, message in messages:
        by_topic.setdefault(topic, []).append(message)
    with ExitStack() as spans:
        for topic, sent in by_topic.items():
            spans.enter_context(_send_span(topic, sent))
        yield


@contextmanager
def _send_span(topic: str, messages: Sequence[MessageLink]) -> Iterator[None]:
    attributes = _batch_attributes("send", topic, len(messages))
    with _span(f"send {topic}", SpanKind.PRODUCER, attributes) as span:
        if span.is_recording():
            links = (
                (message.traceparent, {"messaging.message.id": message.message_id}) for message in messages
            )
            _link(span, links, len(messages))
        yield


def _record_link(record: "ConsumerRecord[bytes, bytes]") -> _Link:
    headers = {name: value for name, value in record.headers if name in (_TRACE_HEADER, _MESSAGE_ID_HEADER)}
    attributes: dict[str, AttributeValue] = {
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }
    if (message_id := _text(headers.get(_MESSAGE_ID_HEADER))) is not None:
        attributes["messaging.message.id"] = message_id
    return _text(headers.get(_TRACE_HEADER)), attributes


def _link(span: trace.Span, links: Iterable[_Link], message_count: int) -> None:
    linked_count = 0
    for traceparent, attributes in links:
        if linked_count == LINKS_MAX:
            break
        if (context := _span_context(traceparent)) is not None:
            span.add_link(context, attributes)
            linked_count += 1
    span.set_attribute(UNLINKED_COUNT, message_count - linked_count)


@contextmanager
def _span(name: str, kind: SpanKind, attributes: Mapping[str, AttributeValue]) -> Iterator[trace.Span]:
    with _TRACER.start_as_current_span(
        name,
        context=Context(),  # a story of its own: what it handles, and what goes on beside it, have theirs
        kind=kind,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
            raise


def _batch_attributes(operation: str, topic: str, count: int) -> dict[str, AttributeValue]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
        "messaging.batch.message_count": count,
    }


def _text(value: bytes | None) -> str | None:
    if value is None or len(value) > 255:
        return None
    try:
        return value.decode("ascii")
    except UnicodeDecodeError:
        return None


def _span_context(traceparent: str | None) -> SpanContext | None:
    if traceparent is None:
        return None
    context = trace.get_current_span(
        _PROPAGATOR.extract(
            {_TRACE_HEADER: traceparent}, context=trace.set_span_in_context(trace.INVALID_SPAN)
        )
    ).get_span_context()
    return context if context.is_valid else None


def _allowed(attributes: Mapping[str, AttributeValue] | None) -> dict[str, AttributeValue]:
    return {name: value for name, value in (attributes or {}).items() if name in ALLOWED_ATTRIBUTES}


def _reduced(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=_allowed(span.attributes),
        links=[Link(link.context, _allowed(link.attributes)) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
