"""The services' HTTP as the demo uses it: with one user's token, and without holding up the facts that come in."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from email import message_from_string
from types import TracebackType
from typing import Any, Final, Self

import httpx

from sluice.client import ServiceClient
from sluice.demo.kafka import Seen, WaitError
from sluice.explaining import explanation, gather

_POLL_SECONDS: Final = 0.1
_REQUEST_SECONDS_MAX: Final = 60.0
_ITEMS_MAX: Final = 1_000_000


class Services:
    """Calls the four services by their names. A context manager. Every call raises CallError if it is refused."""

    def __init__(self, urls: Mapping[str, str], token: str) -> None:
        self._stack = ExitStack()
        self._clients = {
            name: self._stack.enter_context(ServiceClient(url, token)) for name, url in urls.items()
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def get(self, service: str, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The answer to a GET."""
        return await asyncio.to_thread(self._clients[service].get, path, query)

    async def post(self, service: str, path: str, body: Any) -> Any:
        """The answer to a POST."""
        return await asyncio.to_thread(self._clients[service].post, path, body)

    async def put(self, service: str, path: str, body: Any) -> Any:
        """The answer to a PUT."""
        return await asyncio.to_thread(self._clients[service].put, path, body)

    async def items(self, service: str, path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All items of a list, page by page."""
        client = self._clients[service]
        return await asyncio.to_thread(lambda: client.items(path, query, items_max=_ITEMS_MAX))

    async def explained(self, billing_event_id: str) -> dict[str, Any]:
        """Why each item of a billing event was released, moved or refused, as `sluice explain` tells it."""
        client = self._clients["release"]
        return explanation(**await asyncio.to_thread(gather, client, billing_event_id))

    async def until(
        self, look: Callable[[], Awaitable[Seen | None]], *, what: str, seconds: float = 120.0
    ) -> Seen:
        """Ask again and again until the answer is something true. Raises WaitError when the time is over."""
        end = time.monotonic() + seconds
        while not (seen := await look()):
            if time.monotonic() > end:
                raise WaitError(f"{what} did not come within {seconds:g} s")
            await asyncio.sleep(_POLL_SECONDS)
        return seen


async def caught_mails(page_url: str) -> list[dict[str, Any]]:
    """What the mail catcher has, the oldest first."""
    async with httpx.AsyncClient(timeout=_REQUEST_SECONDS_MAX, trust_env=False) as client:
        answer = await client.get(f"{page_url}/mails")
    mails: list[dict[str, Any]] = answer.raise_for_status().json()
    return sorted(mails, key=lambda mail: int(mail["number"]))


async def mail_message_id(page_url: str, number: int) -> str:
    """The Message-ID of a mail that was caught."""
    async with httpx.AsyncClient(timeout=_REQUEST_SECONDS_MAX, trust_env=False) as client:
        answer = await client.get(f"{page_url}/mails/{number}")
    return str(message_from_string(answer.raise_for_status().text)["Message-ID"])
