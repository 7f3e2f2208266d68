"""Whatever happens in whatever order: the books over PostgreSQL stay those of the reference model (section 6).

Events, releases, splits, jobs, dry runs, reverts (the machine plays the accounting connector), changes of caps and
budgets, holds, recalculations and redeliveries. After every step: stages and totals are the model's, the totals are
the ledger's and the items', nothing passed a cap that was enforced when it was decided, and nothing is lost.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as some
from hypothesis.stateful import run_state_machine_as_test

from integration.release.psa_machine import BUDGETS, PsaMachine, choice, project_ids
from integration.release.reference_records import CHUNK_SIZE, REVERTIBLE, UNRELEASED
from integration.release.release_machine import IN_CHUNKS, happens
from integration.release.releasing import release, start_job
from integration.release.test_write_back import revert, unclaimed, validated, withdraw_refused, withdrawn
from release.handlers.job_acceptance import JobAsk, accept_job
from release.handlers.job_work import work_on
from release.store import job_lists
from shared.contracts.selections import Select
from shared.database.unit_of_work import NO_CAUSE, UnitOfWork
from shared.ids import derived_id
from support.databases import FreshDatabase
from support.records import message_record


class ReleaseMachine(PsaMachine):
    """Asks for releases, jobs and reverts, and plays the accounting connector and the broker."""

    # What people ask for

    @happens(
        8,
        when=lambda self: self.has(),
        numbers=some.lists(choice, min_size=1, max_size=4),
        split=some.sampled_from((True, True, False)),
    )
    def release(self, numbers: list[int], split: bool) -> None:
        """Quick actions, one or several in a batch: each against what the earlier ones left.

        One on an event that adjustments have made too large, which is always released by then, becomes a job.
        """
        self._release(self.pick_several(numbers), split=split)

    @happens(
        3,
        project_id=project_ids,
        budget_id=some.sampled_from((None, *BUDGETS)),
        more=some.sampled_from((0, 0, 1)),
    )
    def release_what_is_left(self, project_id: str, budget_id: str | None, more: int) -> None:
        """An event of exactly what is left of a cap, or of a penny more."""
        left = self.model.left(project_id, budget_id) + more
        if left > 0:
            self.generate(project_id, [(left, budget_id, 0)], "GBP", 1)
            self._release([list(self.model.events)[-1]], split=False)

    def _release(self, chosen: list[str], *, split: bool) -> None:
        on_cap = "split" if split else "refuse"
        commands = {event_id: f"M-{next(self.numbers)}" for event_id in chosen}
        self.send(
            self.driver.command,
            *(release(each, on_cap=on_cap, message_id=message_id) for each, message_id in commands.items()),
        )
        expected = {}
        large = [each for each in chosen if len(self.model.events[each].items) > CHUNK_SIZE]
        for event_id in chosen:
            if event_id in large:
                continue
            verdict = self.model.verdict(event_id, in_job=False, split=split)
            if verdict.codes:
                expected[event_id] = verdict.codes
            else:
                self.model.apply(event_id, verdict)
        for event_id in large:
            self.model.accept(derived_id("release-job", commands[event_id]), [event_id])
        assert self.do(self.refused()) == expected

    @happens(
        3,
        when=lambda self: self.has(),
        numbers=some.lists(choice, min_size=1, max_size=7),
        unknown=some.sampled_from((False, False, False, True)),
    )
    def start_job(self, numbers: list[int], unknown: bool) -> None:
        chosen = self.pick_several(numbers)
        chosen += ["E-unknown"] * unknown
        self._start_job({"billing_event_ids": chosen}, chosen)

    @happens(1, project_id=project_ids)
    def start_job_by_filter(self, project_id: str) -> None:
        self._start_job({"filter": {"project_id": project_id}}, self.model.awaiting(project_id))

    def _start_job(self, select: dict[str, Any], selection: list[str]) -> None:
        job_id = f"J-{next(self.numbers)}"
        self.send(self.driver.command, start_job(job_id, select))
        self.model.accept(job_id, selection)

    @happens(8, when=lambda self: self.model.jobs, steps=some.integers(1, 4))
    def work_jobs(self, steps: int) -> None:
        """A job goes on, one chunk at a time, between all that happens."""
        for _ in range(steps):
            assert self.do(self.driver.work_jobs()) == bool(self.model.jobs)
            assert self.do(self.refused()) == self.model.work_jobs()

    @happens(3, when=lambda self: self.has(), numbers=some.lists(choice, min_size=1, max_size=7))
    def run_dry(self, numbers: list[int]) -> None:
        """A dry run tells what the real job would do now, and leaves everything as it is."""
        chosen = self.pick_several(numbers)
        self.do(self.refused())
        told = self.do(self._run_dry(chosen))
        assert told == self.model.dry_run(chosen)
        assert self.do(self.driver.facts_since(self.last_message)) == []

    async def _run_dry(self, chosen: list[str]) -> list[tuple[str, tuple[str, ...], str | None]]:
        select = Select(billing_event_ids=chosen)
        ask = JobAsk(f"J-{next(self.numbers)}", "background", select, False, None, NO_CAUSE, dry_run=True)

        async def act(work: UnitOfWork) -> Any:
            job = await accept_job(work, ask, IN_CHUNKS)
            while not job.has_ended:
                job = await work_on(work, job, IN_CHUNKS)
            return await job_lists.load_log(
                work.connection, job.job_id, after_place=0, result=None, rows_max=100
            )

        return [
            (
                row["billing_event_id"],
                tuple(reason["code"] for reason in row["reasons"] or ()),
                row["new_billing_event_id"],
            )
            for row in await self.driver.database.run(act)
        ]

    @happens(2, when=lambda self: self.has(), number=choice, on_hold=some.sampled_from((False, False, True)))
    def hold(self, number: int, on_hold: bool) -> None:
        event = self.pick(number)
        body = {"billing_event_id": event.event_id, "on_hold": on_hold}
        self.send(self.driver.command, message_record("release.billing-event.hold.v1", body))
        is_over = event.stage not in UNRELEASED
        assert bool(self.do(self.refused())) == is_over
        if not is_over:
            event.on_hold = on_hold

    @happens(2, when=lambda self: self.has(), number=choice)
    def recalculate(self, number: int) -> None:
        event = self.pick(number)
        body = {"billing_event_id": event.event_id}
        self.send(self.driver.command, message_record("release.billing-event.recalculate.v1", body))
        assert bool(self.do(self.refused())) == (event.stage not in UNRELEASED)
        self.model.recalculate(event.event_id)

    @happens(4, when=lambda self: self.has(), number=choice, cascade=some.booleans())
    def revert(self, number: int, cascade: bool) -> None:
        event = self.pick_mostly(number, *REVERTIBLE)
        self.send(self.driver.command, revert(event.event_id, cascade=cascade))
        codes = self.model.revert(event.event_id, cascade=cascade)
        assert self.do(self.refused()) == ({event.event_id: codes} if codes else {})

    # What the accounting connector tells

    @happens(4, when=lambda self: self.has("reverting"), number=choice, agrees=some.booleans())
    def answer_withdrawal(self, number: int, agrees: bool) -> None:
        event = self.pick(number, "reverting")
        answer = withdrawn if agrees else withdraw_refused
        self.send(self.driver.accounting, answer(event.event_id))
        (self.model.withdrawn if agrees else self.model.withdraw_refused)(event.event_id)
        assert bool(self.do(self.refused())) != agrees

    @happens(2, when=lambda self: self.has("released", "reverting"), number=choice, closes=some.booleans())
    def invoice_or_close(self, number: int, closes: bool) -> None:
        event = self.pick(number, "released", "reverting")
        if closes:
            self.send(self.driver.accounting, unclaimed("cancel", event.event_id))
        else:
            self.send(self.driver.accounting, validated(f"D-{next(self.numbers)}", event.event_id))
        stage = "closed" if closes else "invoiced"
        if event.stage == "released":
            event.stage = stage
        elif event.before_revert == "released":
            event.before_revert = stage
        assert self.do(self.refused()) == {}

    # What the broker does

    @happens(3, when=lambda self: self.sent, number=choice)
    def deliver_again(self, number: int) -> None:
        self.do(self.refused())
        take, records = self.sent[number % len(self.sent)]
        self.do(take(*records, *records))
        assert self.do(self.driver.facts_since(self.last_message)) == []


def run(database: FreshDatabase, *, examples: int, steps: int, phases: tuple[Phase, ...]) -> None:
    """Let the machine run."""
    make: Any = lambda: ReleaseMachine(database)  # noqa: E731 - it may be a factory, whatever its type says
    run_state_machine_as_test(
        make,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=phases,
            print_blob=True,
        ),
    )


def test_books_are_those_of_the_model_whatever_happens(release_database: FreshDatabase) -> None:
    run(release_database, examples=20, steps=40, phases=(Phase.generate,))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_books_are_those_of_the_model_for_long(release_database: FreshDatabase) -> None:
    examples = int(os.environ.get("SLUICE_MACHINE_EXAMPLES", "400"))
    run(release_database, examples=examples, steps=80, phases=(Phase.generate, Phase.shrink))
