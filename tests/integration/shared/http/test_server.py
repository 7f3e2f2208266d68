"""Serving over real connections."""

import asyncio
import signal
import socket
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from shared.http.server import serve
from shared.http.signing_keys import DOCUMENT_BYTES_MAX, SigningKeys
from unit.shared.http.sample import Issuer, free_port

HOST = "127.0.0.1"


async def wait_until_served(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


async def test_it_serves_until_it_is_told_to_stop_and_leaves_signals_alone() -> None:
    begun, may_end, stop, port = asyncio.Event(), asyncio.Event(), asyncio.Event(), free_port()
    handlers = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))

    async def slow(_request: Request) -> Response:
        begun.set()
        await may_end.wait()
        return PlainTextResponse("done")

    serving = asyncio.create_task(serve(Starlette(routes=[Route("/", slow)]), HOST, port, stop))
    await wait_until_served(port)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    async with httpx.AsyncClient(timeout=60) as client:
        request = asyncio.create_task(client.get(f"http://{HOST}:{port}/"))
        await asyncio.wait_for(begun.wait(), 60)
        stop.set()
        async with asyncio.timeout(60):
            while True:  # new connections are refused while the one under way is still served
                try:
                    _, writer = await asyncio.open_connection(HOST, port)
                except (
                    ConnectionRefusedError,
                    ConnectionResetError,
                ):  # reset: it was waiting when the door closed
                    break
                writer.close()
                await asyncio.sleep(0.01)
        assert not serving.done()
        may_end.set()
        assert (await request).text == "done"
    await asyncio.wait_for(serving, 60)


async def test_an_address_in_use_is_an_error_of_the_service() -> None:
    with socket.create_server((HOST, 0)) as taken, pytest.raises(OSError, match="in use"):
        await serve(Starlette(), HOST, taken.getsockname()[1], asyncio.Event())


async def test_a_cancelled_server_stops() -> None:
    port = free_port()
    serving = asyncio.create_task(serve(Starlette(), HOST, port, asyncio.Event()))
    await wait_until_served(port)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(serving, 60)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, port)


async def test_heads_of_requests_are_bounded() -> None:
    port, stop = free_port(), asyncio.Event()
    serving = asyncio.create_task(serve(Starlette(), HOST, port, stop))
    await wait_until_served(port)
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 200_000)
    answer = await asyncio.wait_for(reader.read(100), 60)
    assert answer.startswith(b"HTTP/1.1 400")
    writer.close()
    stop.set()
    await serving


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow:",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
    ],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_request_that_does_not_arrive_loses_its_connection(beginning: bytes) -> None:
    port, stop = free_port(), asyncio.Event()

    async def echo(request: Request) -> Response:
        return Response(await request.body())

    app = Starlette(routes=[Route("/", echo, methods=["POST"])])
    serving = asyncio.create_task(serve(app, HOST, port, stop, arrival_seconds_max=0.1))
    await wait_until_served(port)
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(beginning)
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()
    stop.set()
    await serving


async def test_an_answer_may_take_longer_than_its_request() -> None:
    port, stop, may_end = free_port(), asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        body = await request.body()
        await may_end.wait()
        return Response(body)

    app = Starlette(routes=[Route("/", slow, methods=["POST"])])
    serving = asyncio.create_task(serve(app, HOST, port, stop, arrival_seconds_max=1.0))
    await wait_until_served(port)
    async with httpx.AsyncClient(timeout=60) as client:
        for content in (b"first", b"second"):  # over one connection
            may_end.clear()
            request = asyncio.create_task(client.post(f"http://{HOST}:{port}/", content=content))
            reader, writer = await asyncio.open_connection(HOST, port)
            assert await asyncio.wait_for(reader.read(), 60) == b"", "the time of an arrival is over"
            writer.close()
            may_end.set()
            assert (await request).content == content
    stop.set()
    await serving


async def test_keys_are_fetched_from_a_real_address_and_large_documents_are_not(issuer: Issuer) -> None:
    port, stop = free_port(), asyncio.Event()
    base = f"http://{HOST}:{port}"
    documents: dict[str, Any] = {
        "/.well-known/openid-configuration": {"issuer": base, "jwks_uri": f"{base}/jwks"},
        "/jwks": {"keys": issuer.published},
        "/large": {"keys": issuer.published, "padding": "x" * DOCUMENT_BYTES_MAX},
    }

    async def answer(request: Request) -> Response:
        return JSONResponse(documents[request.url.path])

    app = Starlette(routes=[Route(path, answer) for path in documents])
    serving = asyncio.create_task(serve(app, HOST, port, stop))
    await wait_until_served(port)
    key = await SigningKeys(base, None).find("one")
    assert key is not None
    assert key.key_id == "one"
    with pytest.raises(RuntimeError):
        await SigningKeys(base, f"{base}/large").find("one")
    stop.set()
    await serving
