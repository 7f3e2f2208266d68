"""Health and metrics (contract.md section 2)."""

import asyncio
import contextlib

import httpx
import pytest
import structlog
from fastapi import FastAPI

from shared.http import health as health_module
from shared.http.application import Application
from shared.http.health import HealthRegistry, health_router
from support.waiting import wait_until
from unit.shared.http.sample import CANARY, client_of


async def well() -> None:
    return None


async def test_ready_when_all_are_well() -> None:
    async def behind() -> str:
        return "3 records behind"

    health = HealthRegistry()
    health.add("database", well)
    health.add("line", behind)
    assert (await health.readiness()).model_dump() == {
        "status": "ready",
        "checks": {
            "database": {"ok": True, "status": "ok", "detail": None},
            "line": {"ok": True, "status": "ok", "detail": "3 records behind"},
        },
    }


async def paused() -> None:
    raise RuntimeError("paused: most records are bad")


async def test_not_ready_when_one_that_http_needs_is_not_and_only_our_own_words_are_shown() -> None:
    async def away() -> None:
        raise ConnectionError(f"cannot reach {CANARY}")

    health = HealthRegistry()
    health.add("database", away, needed=True)
    health.add("line", paused)
    health.add("broker", well)
    assert (await health.readiness()).model_dump() == {
        "status": "not_ready",
        "checks": {
            "database": {"ok": False, "status": "failed", "detail": "ConnectionError"},
            "line": {"ok": False, "status": "degraded", "detail": "paused: most records are bad"},
            "broker": {"ok": True, "status": "ok", "detail": None},
        },
    }


async def test_what_only_messages_need_leaves_http_where_it_is(application: Application) -> None:
    """An orchestrator reads the status alone: it neither restarts nor unroutes for a broker."""
    health = HealthRegistry()
    health.add("database", well, needed=True)
    health.add("broker", paused)
    assert (await health.readiness()).status == "degraded"
    app = FastAPI()
    app.include_router(health_router(health))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")


async def test_each_change_of_a_part_is_logged_once_and_is_in_the_metrics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health_module, "WATCH_SECONDS", 0.0)
    rounds, trouble = 0, False
    shown: dict[str, bool] = {}
    monkeypatch.setattr(health_module, "set_ready", lambda check, *, ok: shown.update({check: ok}))

    async def broker() -> None:
        nonlocal rounds
        rounds += 1
        if trouble:
            raise RuntimeError(f"no answer for {rounds} s")

    async def more_rounds() -> bool:
        return rounds > seen + 3

    health = HealthRegistry()
    health.add("broker", broker)
    with structlog.testing.capture_logs() as entries:
        watching = asyncio.create_task(health.watch())
        for trouble in (False, True, False):
            seen = rounds
            await wait_until(more_rounds, what="rounds of the watch")
            assert shown == {"broker": not trouble}
        watching.cancel()
    assert [(each["check"], each["status"], each["log_level"]) for each in entries] == [
        ("broker", "degraded", "warning"),
        ("broker", "ok", "info"),
    ]


async def test_a_dependency_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "CHECK_TIMEOUT_SECONDS", 0.05)
    never, released = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        await never.wait()

    health = HealthRegistry()

    async def hang_on() -> None:
        """As a driver that does not let itself be cancelled."""
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    health.add("a", hang, needed=True)
    health.add("b", hang_on)
    async with asyncio.timeout(30):
        readiness = await health.readiness()
    assert readiness.status == "not_ready"
    assert readiness.checks["b"].detail == "no answer in 0.05 s"
    released.set()


def test_a_name_is_given_once() -> None:
    health = HealthRegistry()
    health.add("database", well)
    with pytest.raises(ValueError, match="database"):
        health.add("database", well)


async def test_a_live_service_is_not_ready_without_its_database(application: Application) -> None:
    async with client_of(application) as client:
        live = await client.get("/health/live")
        assert (live.status_code, live.json()) == (200, {"status": "live"})
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json() == {
            "status": "not_ready",
            "checks": {
                "database": {"ok": False, "status": "failed", "detail": "ConnectionError"},
                "schema": {"ok": False, "status": "failed", "detail": "ConnectionError"},
                "token_keys": {"ok": True, "status": "ok", "detail": None},
            },
        }


async def test_metrics_are_in_the_prometheus_text_format(application: Application) -> None:
    async with client_of(application) as client:
        response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE python_info gauge" in response.text
