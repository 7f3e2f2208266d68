"""New alerts as they come, over a real connection (domain.md section 8)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from integration.notifier.driver import JOB, NotifierDriver, dead_letter, fact
from integration.notifier.http import Api
from notifier.handlers import alert_feed
from shared.http.server import serve
from shared.workers import Worker
from support.waiting import wait_until
from unit.shared.http.sample import Issuer, free_port

HOST = "127.0.0.1"


class Replica:
    """One replica's API, served, with the worker that looks for new alerts."""

    def __init__(self, notifier: NotifierDriver, issuer: Issuer) -> None:
        self.api = Api(notifier, issuer)
        self.url = ""
        self.stopping = asyncio.Event()
        worker = next(each for each in self.api.parts.workers if each.name == "alert feed")
        self.worker = Worker(worker.name, worker.step, idle_seconds=0.02)

    async def stop(self) -> None:
        """Stop as the service does."""
        self.stopping.set()
        for stop in self.api.parts.on_stop:
            await stop()


@asynccontextmanager
async def replica_of(notifier: NotifierDriver, issuer: Issuer) -> AsyncIterator[Replica]:
    replica, port = Replica(notifier, issuer), free_port()
    replica.url = f"http://{HOST}:{port}"
    serving = asyncio.create_task(serve(replica.api.application, HOST, port, replica.stopping))
    looking = asyncio.create_task(replica.worker.run())

    async def answers() -> bool:
        try:
            async with httpx.AsyncClient(timeout=60) as client:
                return (await client.get(f"{replica.url}/health/live")).status_code == 200
        except httpx.TransportError:
            return False

    await wait_until(answers, what="the API")
    yield replica
    await replica.stop()
    looking.cancel()
    await asyncio.wait_for(serving, 60)


@pytest.fixture
def issuer() -> Issuer:
    issuer = Issuer()
    issuer.add_key("one")
    return issuer


@pytest.fixture
async def replica(notifier: NotifierDriver, issuer: Issuer) -> AsyncIterator[Replica]:
    async with replica_of(notifier, issuer) as replica:
        yield replica


@asynccontextmanager
async def stream_of(
    replica: Replica, *, last_event_id: str | None = None, **claims: Any
) -> AsyncIterator[Any]:
    """An open stream: the lines that come of it."""
    headers = replica.api.headers(**claims) | ({"Last-Event-ID": last_event_id} if last_event_id else {})
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream("GET", f"{replica.url}/alerts/stream", headers=headers) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield response.aiter_lines()


async def next_event(lines: Any) -> dict[str, Any]:
    """The next event: its name, id and data."""
    event: dict[str, Any] = {}
    async with asyncio.timeout(60):
        async for line in lines:
            if line == "" and event:
                return event
            name, _, value = line.partition(": ")
            if name in ("event", "id"):
                event[name] = value
            elif name == "data":
                event[name] = json.loads(value)
    raise AssertionError("the stream has ended")


async def test_new_alerts_come_as_they_are_told(notifier: NotifierDriver, replica: Replica) -> None:
    await notifier.take(fact(JOB, job_id="J-before"))
    async with stream_of(replica) as lines:
        await notifier.take(fact(JOB, job_id="J-1"))
        event = await next_event(lines)
        assert event["event"] == "alert"
        assert event["data"]["cause_id"] == "release-job/J-1/ended"
        assert event["data"]["counts"] == {"selected": 2, "released": 1, "failed": 1}
        async with replica.api.client() as client:
            listed = (await client.get("/alerts")).json()["items"][0]
        assert listed == event["data"]
        await notifier.take(fact(JOB, job_id="J-2"))
        assert (await next_event(lines))["data"]["cause_id"] == "release-job/J-2/ended"


async def test_a_reader_that_comes_again_misses_nothing(notifier: NotifierDriver, replica: Replica) -> None:
    async with stream_of(replica) as lines:
        await notifier.take(fact(JOB, job_id="J-1"))
        first = await next_event(lines)
    await notifier.take(*(fact(JOB, job_id=f"J-{number}") for number in range(2, 6)))
    async with stream_of(replica, last_event_id=first["id"]) as lines:
        causes = [(await next_event(lines))["data"]["cause_id"] for _ in range(4)]
        assert sorted(causes) == [f"release-job/J-{number}/ended" for number in range(2, 6)]
        await notifier.take(fact(JOB, job_id="J-6"))
        assert (await next_event(lines))["data"]["cause_id"] == "release-job/J-6/ended"


async def test_more_than_a_page_comes_whole_and_in_order(
    notifier: NotifierDriver, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_feed, "PAGE_ALERTS", 3)
    for number in range(7):
        await notifier.take(fact(JOB, job_id=f"J-{number}"))
    async with stream_of(replica, last_event_id="0") as lines:
        events = [await next_event(lines) for _ in range(7)]
    assert [event["data"]["cause_id"] for event in events] == [f"release-job/J-{n}/ended" for n in range(7)]
    places = [int(event["id"]) for event in events]
    assert places == sorted(set(places))


async def test_a_stream_carries_ones_own_alerts_only(notifier: NotifierDriver, replica: Replica) -> None:
    async with stream_of(replica, sub="u2", email=None) as lines:
        await notifier.take(fact(JOB, job_id="J-1"))
        await notifier.take(fact(JOB, job_id="J-2", starter={"user_id": "u2", "email": None}))
        assert (await next_event(lines))["data"]["cause_id"] == "release-job/J-2/ended"


async def test_an_alert_that_counts_on_comes_again(notifier: NotifierDriver, replica: Replica) -> None:
    async with stream_of(replica, sub="operator", email="ops@example.com") as lines:
        await notifier.take_dead_letters(dead_letter(offset=1))
        first = await next_event(lines)
        await notifier.take_dead_letters(dead_letter(offset=2), dead_letter(offset=3))
        second = await next_event(lines)
    assert first["data"]["alert_id"] == second["data"]["alert_id"]
    assert [each["data"]["counts"]["dead_letters"] for each in (first, second)] == [1, 3]
    assert int(second["id"]) > int(first["id"])


async def test_what_another_replica_tells_comes_too(
    notifier: NotifierDriver, issuer: Issuer, replica: Replica
) -> None:
    other = NotifierDriver(notifier.database, notifier.settings)
    async with replica_of(other, issuer) as second, stream_of(replica) as here, stream_of(second) as there:
        await other.take(fact(JOB, job_id="J-1"))
        assert (await next_event(here))["id"] == (await next_event(there))["id"]


async def test_no_alert_is_skipped_when_batches_commit_in_another_order(
    notifier: NotifierDriver, replica: Replica
) -> None:
    drivers = [NotifierDriver(notifier.database, notifier.settings) for _ in range(4)]
    async with stream_of(replica) as lines:
        await asyncio.gather(
            *(
                driver.take(*(fact(JOB, job_id=f"J-{place}-{round_}-{number}") for number in range(5)))
                for round_ in range(5)
                for place, driver in enumerate(drivers)
            )
        )
        causes = {(await next_event(lines))["data"]["cause_id"] for _ in range(100)}
    assert len(causes) == 100


async def test_a_reader_has_so_many_streams_and_not_more(
    notifier: NotifierDriver, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_feed, "STREAMS_OF_ONE_MAX", 1)
    url = f"{replica.url}/alerts/stream"
    async with httpx.AsyncClient(timeout=60) as client:
        async with stream_of(replica):
            refused = await client.get(url, headers=replica.api.headers())
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
            async with stream_of(replica, sub="u2", email=None):
                pass

        async def is_free_again() -> bool:
            async with client.stream("GET", url, headers=replica.api.headers()) as response:
                return response.status_code == 200

        await wait_until(is_free_again, what="the stream's place")


async def test_a_place_that_is_none_is_refused(replica: Replica) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        headers = replica.api.headers() | {"Last-Event-ID": "1 or 1"}
        answer = await client.get(f"{replica.url}/alerts/stream", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_streams_end_when_the_service_stops(notifier: NotifierDriver, replica: Replica) -> None:
    async with stream_of(replica) as lines:
        await replica.stop()
        async with asyncio.timeout(60):
            assert [line async for line in lines if line.startswith("data")] == []
