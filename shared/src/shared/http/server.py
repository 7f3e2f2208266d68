"""Serving an application in the event loop of the service."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

BACKLOG: Final = 512
CONNECTIONS_MAX: Final = 512
KEEP_ALIVE_SECONDS: Final = 30
HEADER_BYTES_MAX: Final = 64 * 1024
STOP_SECONDS_MAX: Final = 10
ARRIVAL_SECONDS_MAX: Final = 60.0
"""How long a request may take to arrive: whoever sends it byte by byte holds one of the connections that there are."""

_ARRIVING: Final = frozenset({h11.IDLE, h11.SEND_BODY})
"""What the other side's state is until its request is whole."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are the service's own affair: it stops its consumers too, in an order of its choice.
        yield


class _Punctual(H11Protocol):
    """Closes a connection whose request is not whole in time; how long the answer takes is no matter."""

    seconds_max = ARRIVAL_SECONDS_MAX
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._expect_a_request()

    def data_received(self, data: bytes) -> None:
        self._expect_a_request()
        super().data_received(data)
        if self.conn.their_state not in _ARRIVING:
            self._drop_limit()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_limit()
        super().connection_lost(exc)

    def _expect_a_request(self) -> None:
        if self._limit is None:
            self._limit = self.loop.call_later(self.seconds_max, self.transport.close)

    def _drop_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the address; what it accepts sends small parts of an answer at once.

    asyncio sees to that only where a socket names its protocol, which those of `create_server` do not: a body waited
    40 ms for the acknowledgement of its headers.

    Raises OSError if the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    arrival_seconds_max: float = ARRIVAL_SECONDS_MAX,
) -> None:
    """Serve until `stop` is set; requests under way have STOP_SECONDS_MAX to end.

    A request that has not arrived after `arrival_seconds_max` is given up, its connection closed.

    Raises OSError if the address cannot be had.
    """
    listener = listen(host, port)
    config = uvicorn.Config(
        app,
        http=type("_Punctual", (_Punctual,), {"seconds_max": arrival_seconds_max}),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS_MAX,
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving
