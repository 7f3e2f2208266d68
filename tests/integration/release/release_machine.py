"""A machine over the release service's books: what it stands on, and what holds after every step (section 6)."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import asyncpg
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from integration.release.conftest import EMPTY_TABLES
from integration.release.driver import Record
from integration.release.reference_model import Model
from integration.release.reference_records import CHUNK_SIZE, COUNTED, TOLERANCE, Event
from integration.release.releasing import SETTINGS
from integration.release.test_rebuilt_ledger import rebuilt, stored_lines
from integration.release.test_write_back import AccountingDriver
from release.domain.settings import ReleaseSettings
from release.store.reconciliation import CHECK_NAMES, run_check
from shared.database.database import Database
from support.cap_ledger import by_total
from support.databases import FreshDatabase

Result = TypeVar("Result")

IN_CHUNKS = ReleaseSettings(support_contact=SETTINGS.support_contact, release_batch_size=CHUNK_SIZE)

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


def amount_of(value: int) -> str:
    return f"{Decimal(value) / 100:.2f}"


@dataclass(frozen=True)
class Action:
    """Something that can happen: how often among the others, when it can, and what is drawn for it."""

    act: Callable[..., None]
    often: int
    when: Callable[["BooksMachine"], bool]
    given: Mapping[str, some.SearchStrategy[Any]]


ACTIONS: dict[str, Action] = {}

Act = TypeVar("Act", bound=Callable[..., None])


def happens(
    often: int, *, when: Callable[["BooksMachine"], Any] = lambda _: True, **given: some.SearchStrategy[Any]
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


class BooksMachine(RuleBasedStateMachine):
    """Drives one replica and the model side by side; what can happen is said by those who inherit."""

    def __init__(self, database: FreshDatabase) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model = Model()
        self.numbers = itertools.count(1)
        self.sent: list[tuple[Any, tuple[Record, ...]]] = []
        self.last_entry = 0
        self.ids_taken = 0
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

    @rule(data=some.data())
    def something_happens(self, data: Any) -> None:
        possible = [
            name for name, action in ACTIONS.items() if action.when(self) for _ in range(action.often)
        ]
        action = ACTIONS[data.draw(some.sampled_from(possible), label="next")]
        action.act(self, **{name: data.draw(drawn, label=name) for name, drawn in action.given.items()})

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
        put_aside = [reason.partition(":")[0] for reason in await self.driver.dead_letters()]
        assert put_aside == ["id_taken_by_split"] * self.ids_taken
        async with self.driver.database.pool.acquire() as connection:
            for name in CHECK_NAMES:
                assert (await run_check(connection, name)).differences == (), name
        told = await rebuilt(self.driver)
        assert by_total(told.lines) == by_total(await stored_lines(self.driver))
