"""The demo on a running system: one step after the other, each timed; what goes wrong is kept, not hidden."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console

from sluice.client import CallError
from sluice.demo.context import Demo
from sluice.demo.feed import Feed
from sluice.demo.http import Services
from sluice.demo.kafka import KafkaClient, WaitError
from sluice.demo.steps.billing_run import run_by_hand
from sluice.demo.steps.budgets import explain, optimise_the_budget
from sluice.demo.steps.crediting import credit_a_part
from sluice.demo.steps.intake import repeat, take_in
from sluice.demo.steps.jobs import release_and_invoice, release_in_bulk
from sluice.demo.steps.leaving_out import leave_out_and_move
from sluice.demo.steps.passing import create_on_demand, pass_by_itself
from sluice.demo.steps.quick_release import (
    cross_the_threshold,
    refuse_a_double_billing,
    release_singly,
    split_at_the_cap,
)
from sluice.demo.steps.reconciling import reconcile
from sluice.demo.steps.reverting import revert_an_invoiced_one
from sluice.demo.steps.setting_up import set_up
from sluice.demo.steps.telling import look_at_dead_letters, look_at_mails
from sluice.infrastructure.say import Say

Step = Callable[[Demo], Awaitable[str]]

STEPS: Final[Mapping[str, Step]] = {
    "feed": take_in,
    "settings": set_up,
    "repetitions and poison": repeat,
    "quick release": release_singly,
    "billed once": refuse_a_double_billing,
    "split at the cap": split_at_the_cap,
    "budget optimisation": optimise_the_budget,
    "explanation": explain,
    "alert threshold": cross_the_threshold,
    "release job": release_in_bulk,
    "release and invoice": release_and_invoice,
    "auto-pass": pass_by_itself,
    "invoices on demand": create_on_demand,
    "left-out item": leave_out_and_move,
    "partial credit": credit_a_part,
    "revert": revert_an_invoiced_one,
    "billing run": run_by_hand,
    "mails and alerts": look_at_mails,
    "dead letters": look_at_dead_letters,
    "reconciliation": reconcile,
}


class DemoRefusedError(RuntimeError):
    """This feed has already been sent to this system."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo is played: the broker's client options, the services' addresses by name, and a token for all."""

    kafka: Mapping[str, Any]
    urls: Mapping[str, str]
    token: str
    mail_page: str | None


async def play(place: Place, feed: Feed, *, batch_size: int, say: Say) -> dict[str, Any]:
    """Do every step and give the report. Raises DemoRefusedError if the system has had this feed before."""
    async with KafkaClient(place.kafka) as kafka, Services(place.urls, place.token) as services:
        demo = Demo(feed, kafka, services, batch_size, place.mail_page)
        await _look_at_the_system(demo)
        steps = [await _do(demo, name, step, say) for name, step in STEPS.items()]
    books = demo.found.get("books") or {}
    is_balanced = bool(books) and all(report["balanced"] for report in books.values())
    return {
        "ok": is_balanced and not demo.differences,
        "balanced": is_balanced,
        "differences": demo.differences,
        "steps": steps,
        "mail_page": place.mail_page,
        **demo.found,
    }


async def _do(demo: Demo, name: str, step: Step, say: Say) -> dict[str, Any]:
    """One step; what breaks it off is a difference, and the next step is done all the same."""
    started = time.perf_counter()
    differences_before = len(demo.differences)
    try:
        with Console(stderr=True).status(name):
            told = await step(demo)
    except (CallError, WaitError) as error:
        told = str(error)
        demo.differences.append(f"{name}: {error}")
    seconds = time.perf_counter() - started
    ok = len(demo.differences) == differences_before
    say(f"  {'✓' if ok else '✗'} {name}: {told} ({seconds:.1f} s)")
    return {"step": name, "ok": ok, "told": told, "seconds": round(seconds, 3)}


async def _look_at_the_system(demo: Demo) -> None:
    """Nothing would happen if the same feed were sent again. Raises DemoRefusedError then."""
    page = await demo.services.get("release", "/billing-events", {"limit": 1})
    demo.is_fresh = not page["items"]
    event_id = demo.feed.parts["quick"]
    try:
        await demo.services.get("release", f"/billing-events/{event_id}")
    except CallError as error:
        if error.problem is not None and error.problem.get("code") == "not_found":
            return
        raise
    raise DemoRefusedError(
        f"this system has already had this feed ({event_id} is there); give another --seed"
    )
