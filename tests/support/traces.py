"""A collector of spans that speaks OTLP over HTTP, as services send them (architecture.md, telemetry)."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SPANS_MAX: Final = 20_000
"""The newest spans are kept; a system under load makes many."""


@dataclass(frozen=True, slots=True)
class SeenSpan:
    """A span as it arrived. `links` are the traces it is about."""

    service: str
    name: str
    trace_id: str
    parent_id: str
    attributes: Mapping[str, Any]
    links: frozenset[str]
    links_attributes: tuple[Mapping[str, Any], ...]


class TraceSink:
    """The collector. Use it as a context manager."""

    def __init__(self) -> None:
        self._spans: deque[SeenSpan] = deque(maxlen=SPANS_MAX)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="trace-sink", daemon=True)

    @property
    def endpoint(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT has to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def spans(self) -> list[SeenSpan]:
        """What has arrived."""
        return list(self._spans)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self._spans.extend(_seen(service, span) for span in scope.spans)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_ours = self.path == "/v1/traces" and self.headers["Content-Encoding"] in (None, "identity")
                if is_ours:
                    sink._take(body)
                self.send_response(200 if is_ours else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Handler


def _seen(service: str, span: Span) -> SeenSpan:
    return SeenSpan(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        links=frozenset(link.trace_id.hex() for link in span.links),
        links_attributes=tuple(_attributes(link.attributes) for link in span.links),
    )


def _attributes(found: Any) -> dict[str, Any]:
    return {each.key: _value(each) for each in found}


def _value(attribute: KeyValue) -> Any:
    kind = attribute.value.WhichOneof("value")
    return None if kind is None else getattr(attribute.value, kind)
