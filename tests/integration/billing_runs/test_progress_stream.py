"""A run's progress as it comes (domain.md section 5, Execution report), over a real connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from billing_runs.handlers import progress_feed
from integration.billing_runs.driver import Runs, command, create, event
from unit.shared.http.sample import Issuer


@asynccontextmanager
async def stream_of(
    url: str, issuer: Issuer, *, last_event_id: str | None = None
) -> AsyncIterator[AsyncIterator[str]]:
    headers = {"Authorization": f"Bearer {issuer.token('billing-runs:read')}"}
    headers |= {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with (
        httpx.AsyncClient(timeout=60, headers=headers) as client,
        client.stream("GET", f"{url}/billing-runs/R-1/events") as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield response.aiter_lines()


async def next_event(lines: AsyncIterator[str]) -> dict[str, Any]:
    """The next event: its name, id and data."""
    told: dict[str, Any] = {}
    async with asyncio.timeout(60):
        async for line in lines:
            if line == "" and told:
                return told
            name, _, value = line.partition(": ")
            if name in ("event", "id"):
                told[name] = value
            elif name == "data":
                told[name] = json.loads(value)
    raise AssertionError("the stream has ended")


async def test_progress_comes_as_it_is_made(runs: Runs, url: str, issuer: Issuer) -> None:
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create())
    async with stream_of(url, issuer) as lines:
        first = await next_event(lines)
        assert first["event"] == "progress"
        assert (first["data"]["run"]["status"], first["data"]["execution"]) == ("new", None)
        await runs.command(command("process"))
        assert (await next_event(lines))["data"]["run"]["status"] == "creating_invoice_lines"
        await runs.settle()
        told = await next_event(lines)
        while told["data"]["run"]["status"] != "invoice_lines_created":
            told = await next_event(lines)
    execution = told["data"]["execution"]
    assert (execution["step"], execution["status"]) == ("invoice_lines", "completed")
    assert (execution["to_do"], execution["done"]) == (2, 2)


async def test_a_reader_that_comes_again_is_told_what_is_new(runs: Runs, url: str, issuer: Issuer) -> None:
    await runs.command(create())
    async with stream_of(url, issuer) as lines:
        first = await next_event(lines)
    async with stream_of(url, issuer, last_event_id=first["id"]) as lines:
        await runs.command(command("disable"))
        assert (await next_event(lines))["data"]["run"]["disabled"] is True


async def test_a_stream_of_an_unknown_run_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/billing-runs/R-404/events")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_streams_are_limited(
    runs: Runs, url: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_feed, "STREAMS_OF_ONE_MAX", 1)
    await runs.command(create())
    headers = {"Authorization": f"Bearer {issuer.token('billing-runs:read')}"}
    async with stream_of(url, issuer) as lines, httpx.AsyncClient(headers=headers) as client:
        await next_event(lines)
        answer = await client.get(f"{url}/billing-runs/R-1/events")
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
        assert answer.headers["retry-after"]
