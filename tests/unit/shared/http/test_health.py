"""Health and metrics (contract.md section 2)."""

import asyncio

import pytest

from shared.http import health as health_module
from shared.http.application import Application
from shared.http.health import HealthRegistry
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
            "database": {"ok": True, "detail": None},
            "line": {"ok": True, "detail": "3 records behind"},
        },
    }


async def test_not_ready_when_one_is_not_and_only_our_own_words_are_shown() -> None:
    async def paused() -> None:
        raise RuntimeError("paused: most records are bad")

    async def away() -> None:
        raise ConnectionError(f"cannot reach {CANARY}")

    health = HealthRegistry()
    health.add("database", well)
    health.add("line", paused)
    health.add("broker", away)
    assert (await health.readiness()).model_dump() == {
        "status": "not_ready",
        "checks": {
            "database": {"ok": True, "detail": None},
            "line": {"ok": False, "detail": "paused: most records are bad"},
            "broker": {"ok": False, "detail": "ConnectionError"},
        },
    }


async def test_a_dependency_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "CHECK_TIMEOUT_SECONDS", 0.05)
    never = asyncio.Event()

    async def hang() -> None:
        await never.wait()

    health = HealthRegistry()
    health.add("a", hang)
    health.add("b", hang)
    async with asyncio.timeout(30):
        readiness = await health.readiness()
    assert readiness.status == "not_ready"
    assert readiness.checks["b"].detail == "no answer in 0.05 s"


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
                "database": {"ok": False, "detail": "ConnectionError"},
                "token_keys": {"ok": True, "detail": None},
            },
        }


async def test_metrics_are_in_the_prometheus_text_format(application: Application) -> None:
    async with client_of(application) as client:
        response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE python_info gauge" in response.text
