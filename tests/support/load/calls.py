"""HTTP calls that go on while services die and come back: asked again until there is an answer."""

import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx

from sluice.system import System
from support.waiting import wait_until

ANSWER_SECONDS_MAX: Final = 300.0
_REQUEST_SECONDS_MAX: Final = 90.0
"""More than a service takes for anything, so that what is under load is waited for, and only what hangs given up."""


class Calls:
    """Calls the services of a system with a token that may do everything. A context manager."""

    def __init__(self, system: System, *, user: str = "load") -> None:
        self._urls = {name: process.url for name, process in system.services.items()}
        self._headers = {"Authorization": f"Bearer {system.token(user=user)}"}

    async def __aenter__(self) -> Self:
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=20)
        self._client = httpx.AsyncClient(
            headers=self._headers, timeout=_REQUEST_SECONDS_MAX, trust_env=False, limits=limits
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def ask(
        self,
        service: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
    ) -> httpx.Response:
        """One try. Raises httpx.HTTPError when nothing answers."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self._client.request(method, self._urls[service] + path, json=body, headers=headers)

    async def until_answered(
        self,
        service: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        statuses: Collection[int],
        key: str | None = None,
    ) -> httpx.Response:
        """The first answer with one of these statuses. Raises AssertionError when none comes in time.

        A service that dies answers nothing, or 500 and above; one that does not know yet what is asked of it, 404; one
        whose first answer to the key was not finished when it died, 409.
        """
        last: list[object] = []

        async def look() -> httpx.Response | None:
            try:
                answer = await self.ask(service, method, path, body, key=key)
            except httpx.HTTPError as error:
                last[:] = [repr(error)]
                return None
            last[:] = [answer.status_code, answer.text[:300]]
            return answer if answer.status_code in statuses else None

        try:
            answered = await wait_until(look, seconds=ANSWER_SECONDS_MAX, what=f"{method} {path}")
        except AssertionError as error:
            raise AssertionError(f"{error}; last answer: {last}") from error
        assert answered is not None, "wait_until gives what is true"
        return answered

    async def until_true(self, service: str, path: str, holds: Callable[[Any], bool]) -> Any:
        """The first answer to a GET of which this holds. Raises AssertionError when none comes in time."""
        last: list[object] = []
        end = time.monotonic() + ANSWER_SECONDS_MAX
        while time.monotonic() < end:
            answer = await self.until_answered(service, "GET", path, statuses={200})
            last[:] = [answer.text[:500]]
            if holds(body := answer.json()):
                return body
        raise AssertionError(f"GET {path}: what was waited for did not come; last answer: {last}")
