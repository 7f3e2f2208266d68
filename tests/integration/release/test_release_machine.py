"""Whatever happens in whatever order: the books over PostgreSQL stay those of the reference model (section 6).

Events, releases, splits, jobs, dry runs, reverts (the machine plays the accounting connector), changes of caps and
budgets, holds, recalculations and redeliveries. After every step: stages and totals are the model's, the totals are
the ledger's and the items', nothing passed a cap that was enforced when it was decided, and nothing is lost.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from integration.release.conftest import EMPTY_TABLES
from integration.release.driver import (
    ACCOUNT,
    Record,
    business_record,
    company,
    deleted,
    generated,
    item,
    project,
)
from integration.release.reference_model import (
    CHUNK_SIZE,
    COUNTED,
    REVERTIBLE,
    TOLERANCE,
    UNRELEASED,
    Event,
    Item,
    Model,
    Project,
)
from integration.release.releasing import SETTINGS, release, start_job
from integration.release.test_rebuilt_ledger import rebuilt, stored_lines
from integration.release.test_write_back import (
    AccountingDriver,
    revert,
    unclaimed,
    validated,
    withdraw_refused,
    withdrawn,
)
from release.domain.settings import ReleaseSettings
from release.handlers.job_acceptance import JobAsk, accept_job
from release.handlers.job_work import work_on
from release.store import jobs
from release.store.reconciliation import CHECK_NAMES, run_check
from shared.contracts.selections import Select
from shared.database.database import Database
from shared.database.unit_of_work import NO_CAUSE, UnitOfWork
from shared.ids import derived_id
from support.cap_ledger import by_total
from support.databases import FreshDatabase
from support.records import message_record

Result = TypeVar("Result")

IN_CHUNKS = ReleaseSettings(support_contact=SETTINGS.support_contact, release_batch_size=CHUNK_SIZE)
BUDGETS = ("B-1", "B-2")
CHECKS = tuple(name for name in CHECK_NAMES if name != "records_are_counted")
"""The records of this test have the offsets of all tests' records."""

_EVENTS = "select billing_event_id, stage, on_hold, queued_by, summary_amount from billing_events"
_TOTALS = """
select project_id, budget_id, currency, sum(total) as total, sum(ledger) as ledger, sum(items) as items from (
  select project_id, null as budget_id, currency, released as total, 0 as ledger, 0 as items from project_totals
  union all select project_id, budget_id, currency, released, 0, 0 from budget_totals
  union all select project_id, budget_id, currency, 0, amount, 0 from cap_ledger
  union all
  select project_id, null, currency, 0, 0, item.amount
  from billing_event_items as item join billing_events using (billing_event_id) where stage = any($1::text[])
  union all
  select project_id, item.budget_id, currency, 0, 0, item.amount
  from billing_event_items as item join billing_events using (billing_event_id)
  where stage = any($1::text[]) and item.budget_id is not null
) as every group by 1, 2, 3
"""
_NEW_LINES = """
select entry_id, project_id, budget_id, act, amount, currency, released_after from cap_ledger
where entry_id > $1 order by entry_id
"""

choice = some.integers(0, 999)
pence = some.sampled_from((-5000, -100, 0, 99, 1000, 2500, 4001, 5000, 7500, 9900, 10000, 15000))
contents = some.lists(
    some.tuples(pence, some.sampled_from((None, *BUDGETS)), some.integers(0, 1)),
    min_size=1,
    max_size=CHUNK_SIZE,
)
limits = some.sampled_from((0, 5000, 10000, 12000, 20000, 30000))
project_ids = some.sampled_from(("P-1", "P-2"))


def amount_of(value: int) -> str:
    return f"{Decimal(value) / 100:.2f}"


@dataclass(frozen=True)
class Action:
    """Something that can happen: how often among the others, when it can, and what is drawn for it."""

    act: Callable[..., None]
    often: int
    when: Callable[["ReleaseMachine"], bool]
    given: Mapping[str, some.SearchStrategy[Any]]


ACTIONS: dict[str, Action] = {}

Act = TypeVar("Act", bound=Callable[..., None])


def happens(
    often: int, *, when: Callable[["ReleaseMachine"], Any] = lambda _: True, **given: some.SearchStrategy[Any]
) -> Callable[[Act], Act]:
    """Makes a method one of the things that can happen.

    They are drawn by weight within one rule: several rules would be switched off in turns, and so much has to come
    together here (an event, released under a cap, reverted, answered) that little would happen.
    """

    def register(act: Act) -> Act:
        ACTIONS[act.__name__] = Action(act, often, when, given)
        return act

    return register


async def _awaited(work: Awaitable[Result]) -> Result:
    return await work


class ReleaseMachine(RuleBasedStateMachine):
    """Drives one replica and the model side by side."""

    def __init__(self, database: FreshDatabase) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model = Model()
        self.numbers = itertools.count(1)
        self.sent: list[tuple[Any, tuple[Record, ...]]] = []
        self.last_entry = 0
        self.last_message = 0
        self.database = database
        self.driver: AccountingDriver
        self.do(self._open())

    def do(self, work: Awaitable[Result]) -> Result:
        return self.loop.run_until_complete(_awaited(work))

    async def _open(self) -> None:
        administrator = await asyncpg.connect(self.database.administrator_url)
        await administrator.execute(EMPTY_TABLES)
        await administrator.close()
        store = Database(
            self.database.url, schema=self.database.schema, application_name="machine", connections_max=2
        )
        await store.open()
        self.driver = AccountingDriver(store, IN_CHUNKS)

    def send(self, take: Any, *records: Record) -> None:
        """Hand records to a line, and keep them for a redelivery."""
        self.do(take(*records))
        self.sent.append((take, records))

    def pick(self, number: int, *stages: str) -> Event:
        found = [event for event in self.model.events.values() if not stages or event.stage in stages]
        return found[number % len(found)]

    def pick_mostly(self, number: int, *stages: str) -> Event:
        """One in these stages, if there is any, but for one time in eight."""
        return self.pick(number, *stages) if number % 8 and self.has(*stages) else self.pick(number)

    def has(self, *stages: str) -> bool:
        return any(not stages or event.stage in stages for event in self.model.events.values())

    def pick_several(self, numbers: list[int]) -> list[str]:
        """Ids for a release or a job."""
        return list(dict.fromkeys(self.pick_mostly(each, "awaiting_release").event_id for each in numbers))

    async def refused(self) -> dict[str, tuple[str, ...]]:
        """The codes of the refusals that were published since the last look, by event."""
        rows = await self.driver.facts_since(self.last_message)
        self.last_message = max((seq for seq, _ in rows), default=self.last_message)
        return {
            fact["billing_event_id"]: tuple(reason["code"] for reason in fact["reasons"])
            for _, fact in rows
            if fact.type == "release.billing-event.refused.v1"
        }

    # What PSA sends

    @rule(data=some.data())
    def something_happens(self, data: Any) -> None:
        possible = [
            name for name, action in ACTIONS.items() if action.when(self) for _ in range(action.often)
        ]
        action = ACTIONS[data.draw(some.sampled_from(possible), label="next")]
        action.act(self, **{name: data.draw(drawn, label=name) for name, drawn in action.given.items()})

    @initialize(first=some.lists(contents, min_size=3, max_size=6))
    def know_the_world(self, first: list[Any]) -> None:
        account = {
            "account_id": "A-1",
            "version": 1,
            "cap_tolerance": {"amount": amount_of(TOLERANCE), "currency": "GBP"},
        }
        self.send(self.driver.psa, company(), message_record(ACCOUNT, account))
        self._send_project(
            Project("P-1", 30000, True, True, False, False, dict.fromkeys(BUDGETS, (0, False)))
        )
        self._send_project(
            Project("P-2", 0, True, False, True, False, {"B-1": (10000, True), "B-2": (5000, False)})
        )
        for place, items in enumerate(first):
            self.generate(f"P-{place % 2 + 1}", items, "GBP", place)

    def _send_project(self, given: Project) -> None:
        budgets = [
            {"budget_id": budget_id, "amount": amount_of(amount), "apply_billing_cap": capped}
            for budget_id, (amount, capped) in given.budgets.items()
        ]
        record = project(
            given.project_id,
            version=given.version,
            bookings=amount_of(given.bookings),
            apply_billing_cap=given.apply_cap,
            auto_cap_billing=given.enforce,
            bill_to_budget_cap=given.bill_to_budget_cap,
            on_hold=given.on_hold,
            budgets=budgets,
        )
        self.send(self.driver.psa, record)
        self.do(self.driver.settle())
        self.model.projects[given.project_id] = given

    @happens(
        4,
        project_id=project_ids,
        bookings=limits,
        flags=some.tuples(some.booleans(), some.booleans(), some.booleans()),
        held=some.sampled_from((False,) * 7 + (True,)),
        budgets=some.tuples(some.tuples(limits, some.booleans()), some.tuples(limits, some.booleans())),
    )
    def change_caps(
        self, project_id: str, bookings: int, flags: tuple[bool, bool, bool], held: bool, budgets: Any
    ) -> None:
        version = self.model.projects[project_id].version + 1
        capped = dict(zip(BUDGETS, budgets, strict=True))
        apply_cap, enforce, bill_to = flags
        self._send_project(Project(project_id, bookings, apply_cap, enforce, bill_to, held, capped, version))

    @happens(
        4,
        project_id=project_ids,
        items=contents,
        currency=some.sampled_from(("GBP",) * 7 + ("EUR",)),
        day=choice,
    )
    def generate(self, project_id: str, items: Any, currency: str, day: int) -> None:
        event_id = f"E{next(self.numbers)}"
        event = Event(event_id, project_id, currency, day % 20 + 1, self._items(event_id, items))
        self._send_event(event)
        self.model.events[event_id] = event

    def _items(self, event_id: str, items: Any) -> list[Item]:
        return [
            Item(f"{event_id}-{place}", created, amount, budget_id)
            for place, (amount, budget_id, created) in enumerate(items)
        ]

    def _send_event(self, event: Event) -> None:
        items = [
            item(
                each.item_id,
                amount_of(each.amount),
                created_at=f"2026-11-20T09:00:0{each.created}Z",
                budget_id=each.budget_id,
                business_record_id=f"T-{each.item_id}",
                business_record_version=1,
                services_product="Consulting",
            )
            for each in event.items
        ]
        head = {"version": event.version, "project_id": event.project_id, "currency": event.currency}
        record = generated(event.event_id, *items, date=f"2026-11-{event.date:02}", **head)
        self.send(self.driver.psa, record)

    @happens(
        2,
        when=lambda self: self.has("awaiting_release", "queued", "reverted", "deleted"),
        number=choice,
        items=contents,
    )
    def replace_by_psa(self, number: int, items: Any) -> None:
        """PSA sends a later version: it replaces what is not released, and is refused for what is over."""
        event = self.pick(number, "awaiting_release", "queued", "reverted", "deleted")
        if event.origin_id is not None:
            return
        version, made = event.version + 1, self._items(event.event_id, items)
        self._send_event(Event(event.event_id, event.project_id, event.currency, event.date, made, version))
        expected = {} if event.stage in UNRELEASED else {event.event_id: (event.stage,)}
        assert self.do(self.refused()) == expected
        if event.stage in UNRELEASED:
            event.items, event.version = made, version

    @happens(1, when=lambda self: self.has(*UNRELEASED, *REVERTIBLE), number=choice)
    def delete_by_psa(self, number: int) -> None:
        event = self.pick(number, *UNRELEASED, *REVERTIBLE)
        self.send(self.driver.psa, deleted(event.event_id, event.version + 1))
        if event.stage in UNRELEASED:
            event.stage, event.queued_by, event.version = "deleted", None, event.version + 1
            assert self.do(self.refused()) == {}
        else:
            assert self.do(self.refused()) == {event.event_id: ("already_released",)}

    @happens(2, when=lambda self: self.has(), number=choice, amount=pence)
    def change_a_record(self, number: int, amount: int) -> None:
        event = self.pick(number)
        of_records = [each for each in event.items if not each.is_adjustment]
        if not of_records:
            return
        record_id = of_records[number % len(of_records)].item_id
        version = self.model.records.get(record_id, (1, 0))[0] + 1
        text = amount_of(amount)
        record = business_record(
            f"T-{record_id}", version=version, amount=text, unit_price=text, quantity="1"
        )
        self.send(self.driver.psa, record)
        self.do(self.driver.settle())
        self.model.records[record_id] = (version, amount)

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
        chosen = self.pick_several(numbers)
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
            return await jobs.load_log(work.connection, job, after_place=0, result=None, rows_max=100)

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

    # What always holds

    @invariant()
    def stages_are_the_models(self) -> None:
        rows = self.do(self.driver.database.pool.fetch(_EVENTS))
        found = {row["billing_event_id"]: tuple(row)[1:] for row in rows}
        assert found == {
            event.event_id: (event.stage, event.on_hold, event.queued_by, Decimal(event.amount) / 100)
            for event in self.model.events.values()
        }

    @invariant()
    def totals_are_the_ledger_and_the_items(self) -> None:
        rows = self.do(self.driver.database.pool.fetch(_TOTALS, list(COUNTED)))
        found = {}
        for row in rows:
            assert row["total"] == row["ledger"] == row["items"], dict(row)
            found[row["project_id"], row["budget_id"], row["currency"]] = int(row["total"] * 100)
        assert {key: total for key, total in found.items() if total} == {
            key: total for key, total in self.model.totals.items() if total
        }

    @invariant()
    def no_release_passed_a_cap(self) -> None:
        """What was released in this step, under the caps as they are in this step."""
        rows = self.do(self.driver.database.pool.fetch(_NEW_LINES, self.last_entry))
        for row in rows:
            self.last_entry = row["entry_id"]
            given = self.model.projects[row["project_id"]]
            if row["act"] != "release" or row["amount"] <= 0 or row["currency"] != "GBP":
                continue
            after = int(row["released_after"] * 100)
            if row["budget_id"] is None:
                assert not given.enforced or after <= given.bookings
            else:
                amount, capped = given.budgets[row["budget_id"]]
                assert not capped or after <= amount + TOLERANCE

    def teardown(self) -> None:
        try:
            self.do(self._look_back())
        finally:
            self.do(self.driver.database.close())
            self.loop.close()

    async def _look_back(self) -> None:
        """The books balance, and the facts tell of exactly the ledger: nothing twice, nothing lost."""
        assert await self.driver.dead_letters() == []
        async with self.driver.database.pool.acquire() as connection:
            for name in CHECKS:
                assert (await run_check(connection, name)).differences == (), name
        told = await rebuilt(self.driver)
        assert by_total(told.lines) == by_total(await stored_lines(self.driver))


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
