"""One manual billing run, driven by commands and what its facts say, up to its files."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from support.load.calls import Calls
from support.load.expectation import user_of
from support.load.records import Record, cloud_event

STEP_SECONDS_MAX: Final = 300.0
INVOICE_DATE: Final = "2026-11-30"
_STATUS_CHANGED: Final = "billing-runs.run.status-changed.v1"
_STEP_COMPLETED: Final = "billing-runs.run.step-completed.v1"


class RunDriver:
    """Creates a run over these events and takes it step by step to its end; `send` queues a command."""

    def __init__(
        self, run_id: str, event_ids: Sequence[str], calls: Calls, send: Callable[[Record], None]
    ) -> None:
        self._run_id = run_id
        self._event_ids = list(event_ids)
        self._calls = calls
        self._send = send
        self._seen: set[str] = set()
        self._news = asyncio.Event()

    def on_fact(self, message_type: str, body: dict[str, Any]) -> None:
        """Take note of what the run tells."""
        if message_type == _STATUS_CHANGED:
            self._seen.add(str(body["status"]))
        elif message_type == _STEP_COMPLETED:
            self._seen.add(f"step {body['step']}")
        self._news.set()

    async def drive(self) -> None:
        """Create, process three times, render. Raises TimeoutError if a step does not end."""
        self._command(
            "create",
            {
                "kind": "exceptional",
                "process_type": "manual",
                "scope": {"billing_event_ids": self._event_ids},
                "invoice_date": INVOICE_DATE,
            },
        )
        # The preview is made by the selection itself: once it shows all events, a process finds them.
        await self._calls.until_true(
            "billing-runs",
            f"/billing-runs/{self._run_id}/statistics",
            lambda body: bool(body["events"] == len(self._event_ids)),
        )
        for number, status in enumerate(("invoice_lines_created", "draft_invoices", "validated"), start=1):
            self._command("process", {}, number=number)
            await self._wait_for(status)
        for number, (file_format, step) in enumerate((("xml", "step xml"), ("pdf", "step pdf")), start=1):
            self._command("render", {"format": file_format}, number=number)
            await self._wait_for(step)

    def _command(self, what: str, body: dict[str, Any], *, number: int = 1) -> None:
        self._send(
            cloud_event(
                "billing-runs.commands",
                self._run_id,
                f"billing-runs.run.{what}.v1",
                f"{self._run_id}:{what}:{number}",
                {"run_id": self._run_id, **body, "requested_by": user_of(self._run_id)},
            )
        )

    async def _wait_for(self, what: str) -> None:
        async with asyncio.timeout(STEP_SECONDS_MAX):
            while what not in self._seen:
                self._news.clear()
                await self._news.wait()
