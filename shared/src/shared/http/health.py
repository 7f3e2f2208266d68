"""Whether a service lives and is ready, dependency by dependency, and its metrics (contract.md section 2)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from shared.telemetry.metrics import metrics_page

CHECK_TIMEOUT_SECONDS: Final = 2.0

Check = Callable[[], Awaitable[str | None]]


class CheckResult(BaseModel):
    """How one dependency is."""

    model_config = ConfigDict(extra="forbid")

    ok: bool
    detail: str | None


class Readiness(BaseModel):
    """Whether the service can do its work, with each dependency by name."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["ready", "not_ready"]
    checks: dict[str, CheckResult]


class Liveness(BaseModel):
    """The process answers."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["live"] = "live"


class HealthRegistry:
    """The checks of one service."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Add a dependency. The check returns a detail or None, and raises if the dependency is not well.

        The message of a RuntimeError is shown, for we have written it; of any other exception only its type, for a
        driver's message may hold an address or a password.
        """
        if name in self._checks:
            raise ValueError(f"there is a check named {name} already")
        self._checks[name] = check

    async def readiness(self) -> Readiness:
        """Ask all dependencies at the same time, each for at most CHECK_TIMEOUT_SECONDS."""
        asked = dict(self._checks)  # a service that is starting adds checks meanwhile
        results = await asyncio.gather(*map(_result, asked.values()))
        checks = dict(zip(asked, results, strict=True))
        ready = all(result.ok for result in results)
        return Readiness(status="ready" if ready else "not_ready", checks=checks)


async def _result(check: Check) -> CheckResult:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            return CheckResult(ok=True, detail=await check())
    except TimeoutError:
        return CheckResult(ok=False, detail=f"no answer in {CHECK_TIMEOUT_SECONDS:g} s")
    except Exception as error:  # noqa: BLE001 - whatever a dependency raises, it is not well
        detail = str(error) if isinstance(error, RuntimeError) else type(error).__name__
        return CheckResult(ok=False, detail=detail)


def health_router(health: HealthRegistry) -> APIRouter:
    """The open routes: /health/live, /health/ready, /metrics."""
    router = APIRouter(tags=["operation"])

    @router.get("/health/live", summary="Whether the process answers")
    async def live() -> Liveness:
        return Liveness()

    @router.get(
        "/health/ready",
        summary="Whether the service can do its work",
        responses={503: {"model": Readiness, "description": "Not ready"}},
    )
    async def ready(response: Response) -> Readiness:
        readiness = await health.readiness()
        if readiness.status == "not_ready":
            response.status_code = 503
        return readiness

    @router.get(
        "/metrics",
        summary="Metrics in the Prometheus text format",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        page, media_type = metrics_page()
        return Response(page, media_type=media_type)

    return router
