"""Services that die in every step of a billing run: it goes on, nothing is made twice or forgotten."""

from collections.abc import Sequence
from random import Random
from typing import Any, Final

import pytest

from support.faults import wait_until_ready
from support.runs_under_faults import (
    CONNECTOR,
    RELEASE,
    SERVICES,
    RunUnderFaults,
    Step,
    created_run,
)
from support.trial import Trial
from support.waiting import wait_until

EVENTS: Final = 40

RELEASING: Final = Step("release", "process", RELEASE, "invoice_lines_created")
"""With the step of the lines, which follows by itself."""
INVOICES: Final = Step("invoices", "process", CONNECTOR, "draft_invoices")
VALIDATION: Final = Step("validation", "process", CONNECTOR, "validated")
FILES: Final = Step("xml", "render", CONNECTOR, "validated", {"format": "xml"})
CANCELLATION: Final = Step("cancellation", "cancel", CONNECTOR, "cancelled", {"billing_events": "cancel"})


def _victims() -> list[Any]:
    every_one = pytest.param(SERVICES, id="all")
    return [every_one, *(pytest.param((each,), id=each, marks=pytest.mark.slow) for each in SERVICES)]


async def _assert_books_balance(trial: Trial) -> None:
    differences = await trial.differences()
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("victims", _victims())
async def test_a_run_goes_on_when_services_die_in_each_of_its_steps(
    trial: Trial, victims: Sequence[str]
) -> None:
    """In the step of the lines when a part of the events is claimed; reviews are done while documents are numbered.

    Files are made in the next test.
    """
    async with created_run(trial, events=EVENTS) as run:
        put_off, *others = run.event_ids
        await run.die_while_releasing_and_claiming(RELEASING, victims)
        await run.wait_for_end_of(RELEASING)
        await run.die_in(INVOICES, victims)
        await run.wait_for_end_of(INVOICES)
        await wait_until_ready(trial.system)
        assert await run.review("reject", put_off, reason="wrong address") == ["done"]

        async def decide() -> None:
            await run.wait_for("documents sent to be numbered", phase="waiting")
            assert await run.review("accept", put_off) == ["done"]
            assert await run.review("quarantine", others[0]) == ["action_not_available"]
            assert await run.refusal("cancel", billing_events="reopen") == "step_running"

        await run.die_in(VALIDATION, victims, meanwhile=decide)
        await run.wait_for_end_of(VALIDATION, status="draft_invoices")
        assert await run.fates() == {"validated": EVENTS - 1, "draft": 1}
        await run.do(VALIDATION)
        await wait_until_ready(trial.system)
        made, fates = await run.made(), await run.fates()

    assert [(event, status) for event, status, _ in made] == [(each, "validated") for each in run.event_ids]
    assert fates == {"validated": EVENTS}
    await _assert_books_balance(trial)


@pytest.mark.parametrize("victims", _victims())
async def test_reviews_and_a_cancel_go_on_when_services_die_amid_them(
    trial: Trial, victims: Sequence[str]
) -> None:
    """Documents are decided on while files are made; then all that is not validated is cancelled."""
    async with created_run(trial, events=EVENTS) as run:
        numbered, let_go, rejected, moved, *rest = run.event_ids
        await run.do(RELEASING)
        await run.do(INVOICES)

        async def decide() -> None:
            assert await run.review("validate", numbered) == ["queued"]
            assert await run.review("cancel", let_go, billing_events="reopen") == ["queued"]
            assert await run.review("reject", rejected, reason="wrong address") == ["done"]
            assert await run.review("quarantine", moved) == ["done"]
            assert await run.refusal("cancel", billing_events="cancel") == "step_running"

        await run.die_in(FILES, victims, meanwhile=decide)
        await run.wait_for_end_of(FILES, status="rejected")
        await _wait_for_reviews(run, {numbered: "validated", let_go: "cancelled", rejected: "rejected"})
        await run.die_in(CANCELLATION, victims)
        await run.wait_for_end_of(CANCELLATION, status="validated")
        await wait_until_ready(trial.system)
        made, fates = await run.made(), await run.fates()
        in_quarantine = await run.reviews(f"{run.run_id}.quarantine")

    assert [(event, status) for event, status, _ in made] == [(numbered, "validated"), (moved, "draft")]
    assert fates == {"validated": 1, "reopened": 1, "cancelled": 1 + len(rest)}
    assert in_quarantine == {moved: "draft"}
    await _assert_books_balance(trial)


async def _wait_for_reviews(run: RunUnderFaults, wanted: dict[str, str]) -> None:
    async def are_there() -> bool:
        reviews = await run.reviews()
        return {each: reviews[each] for each in wanted} == wanted

    await wait_until(are_there, what=f"{wanted}")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_a_run_goes_on_when_services_die_at_any_moment(trial: Trial, seed: int) -> None:
    """Each of them once in each step, while documents are decided on and somebody looks at the run all the time."""
    random = Random(seed)
    async with created_run(trial, events=EVENTS * 5) as run, run.looked_at():
        moved, let_go, put_off, *_ = run.event_ids
        for step in (RELEASING, INVOICES):
            await run.die_at_random(step, random)
            await run.wait_for_end_of(step)
        await run.decide("reject", put_off, reason="wrong address")
        await run.decide("quarantine", moved)
        await run.decide("cancel", let_go, billing_events="reopen")
        await run.decide("accept", put_off)
        await run.die_at_random(FILES, random)
        await run.wait_for_end_of(FILES, status="draft_invoices")
        await _wait_for_reviews(run, {let_go: "cancelled", put_off: "draft"})
        for step in (VALIDATION, FILES):
            await run.die_at_random(step, random)
            await run.wait_for_end_of(step)
        made, fates = await run.made(), await run.fates()
        in_quarantine = await run.reviews(f"{run.run_id}.quarantine")

    validated = [each for each in run.event_ids if each not in (moved, let_go)]
    assert [each for each in made if each[0] != moved] == [(each, "validated", 1) for each in validated]
    assert fates == {"validated": len(validated), "reopened": 1}
    assert in_quarantine == {moved: "draft"}
    await _assert_books_balance(trial)
