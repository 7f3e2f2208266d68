"""Whether a service lives and is ready, dependency by dependency, and its metrics (contract.md section 2).

Ready means that HTTP can be served. What only messages need is told beside it as degraded: an orchestrator that
restarted a service, or took its pages away, because the broker is silent would make one outage into two.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from shared.telemetry.metrics import metrics_page, set_ready

CHECK_TIMEOUT_SECONDS: Final = 2.0
WATCH_SECONDS: Final = 5.0

Check = Callable[[], Awaitable[str | None]]
CheckStatus = Literal["ok", "degraded", "failed"]

log = structlog.get_logger(__name__)


class CheckResult(BaseModel):
    """How one dependency is: `failed` if HTTP cannot do without it, `degraded` if only messages wait for it."""

    model_config = ConfigDict(extra="forbid")

    ok: bool
    status: CheckStatus
    detail: str | None


class Readiness(BaseModel):
    """Whether the service can do its work, with each dependency by name; `degraded`: HTTP works, messages wait."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["ready", "degraded", "not_ready"]
    checks: dict[str, CheckResult]


class Liveness(BaseModel):
    """The process answers."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["live"] = "live"


class HealthRegistry:
    """The checks of one service."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._needed: set[str] = set()

    def add(self, name: str, check: Check, *, needed: bool = False) -> None:
        """Add a dependency; `needed` if HTTP cannot be served without it.

        The check returns a detail or None, and raises if the dependency is not well. The message of a RuntimeError is
        shown, for we have written it; of any other exception only its type, for a driver's message may hold an
        address or a password.
        """
        if name in self._checks:
            raise ValueError(f"there is a check named {name} already")
        self._checks[name] = check
        if needed:
            self._needed.add(name)

    async def readiness(self) -> Readiness:
        """Ask all dependencies at the same time, each for at most CHECK_TIMEOUT_SECONDS."""
        asked = dict(self._checks)  # a service that is starting adds checks meanwhile
        results = await asyncio.gather(
            *(
                _result(check, "failed" if name in self._needed else "degraded")
                for name, check in asked.items()
            )
        )
        checks = dict(zip(asked, results, strict=True))
        found = {result.status for result in results}
        status: Literal["ready", "degraded", "not_ready"] = "ready"
        if "failed" in found:
            status = "not_ready"
        elif "degraded" in found:
            status = "degraded"
        return Readiness(status=status, checks=checks)

    async def watch(self) -> None:
        """Until cancelled: keep `sluice_ready` true to the checks, and log each change of one, once."""
        known: dict[str, CheckStatus] = {}
        while True:
            for name, result in (await self.readiness()).checks.items():
                set_ready(name, ok=result.ok)
                if result.status != known.get(name, "ok"):
                    tell = log.info if result.ok else log.warning
                    tell("a part has changed", check=name, status=result.status, detail=result.detail)
                known[name] = result.status
            await asyncio.sleep(WATCH_SECONDS)


async def _result(check: Check, otherwise: CheckStatus) -> CheckResult:
    # Not awaited after its time: a check that a driver does not let be cancelled must not keep the answer.
    asking = asyncio.ensure_future(check())
    try:
        await asyncio.wait({asking}, timeout=CHECK_TIMEOUT_SECONDS)
    finally:
        asking.cancel()
    if not asking.done():
        asking.add_done_callback(_forget)
        return CheckResult(ok=False, status=otherwise, detail=f"no answer in {CHECK_TIMEOUT_SECONDS:g} s")
    try:
        return CheckResult(ok=True, status="ok", detail=asking.result())
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever a dependency raises, it is not well
        detail = str(error) if isinstance(error, RuntimeError) else type(error).__name__
        return CheckResult(ok=False, status=otherwise, detail=detail)


def _forget(asking: "asyncio.Future[str | None]") -> None:
    if not asking.cancelled():
        asking.exception()  # seen, or asyncio would tell of it


def health_router(health: HealthRegistry) -> APIRouter:
    """The open routes: /health/live, /health/ready, /metrics."""
    router = APIRouter(tags=["operation"])

    @router.get("/health/live", summary="Whether the process answers")
    async def live() -> Liveness:
        return Liveness()

    @router.get(
        "/health/ready",
        summary="Whether the service can serve HTTP, and what of the rest is degraded",
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
