"""The outermost layer of an application, which every answer passes."""

from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.database.database import reserved_connections
from shared.database.faults import is_transient
from shared.http.failures import problem_of_status
from shared.http.problems import problem_response
from shared.telemetry.logs import describe

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}

log = structlog.get_logger(__name__)


class Edge:
    """Logs what failed, without what was sent; keeps answers out of caches and foreign pages; ends plain refusals.

    A header that a route has set itself stays as it is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; an exception has been answered by the layers below and ends here, in the log."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = False

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        async def send_as_problem(message: Message) -> None:
            # The framework refuses a body that announces itself as too large with a line of plain text.
            nonlocal refused
            if message["type"] == "http.response.start" and _is_plain_413(message):
                refused = True
                response = problem_response(problem_of_status(413), HTTPConnection(scope))
                await response(scope, receive, send_with_headers)
            elif not refused:
                await send_with_headers(message)

        try:
            with reserved_connections():
                await self.app(scope, receive, send_as_problem)
        except Exception as error:  # noqa: BLE001 - the end of the line for whatever a request raised
            level = log.warning if is_transient(error) else log.error
            level("request failed", method=scope["method"], **describe(error))


def _is_plain_413(message: Message) -> bool:
    media_type = Headers(raw=message["headers"]).get("content-type", "")
    return bool(message["status"] == 413 and media_type.startswith("text/plain"))
