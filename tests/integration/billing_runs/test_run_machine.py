"""Whatever happens in whatever order: runs stay those of the reference model, and their books balance.

Runs of every process type over the same events, with review, quarantine, cancel, disable, rules that change, crashes
(a new process on the same database) and facts that come late, twice and in any order. After every step the books of
domain.md section 6 point 4 balance; whenever nothing is under way, statuses, reviews, fates and claims are the model's.
"""

import asyncio
import os
import random
from collections.abc import Awaitable
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing_runs.domain.rules import FailStatus, Rule, RuleMode
from billing_runs.store.rules import insert_rule
from integration.billing_runs.conftest import EMPTY
from integration.billing_runs.driver import Body, Connector, Record, Runs, command, create, event, review
from integration.billing_runs.reference_model import Document, Event, Model, Run
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from support.databases import FreshDatabase

Result = TypeVar("Result")

RUNS_MAX = 4
EVENTS_MAX = 12
CODES = {"below_threshold": "below_threshold", "no_account": "account_not_found"}
HEALTH = list(HealthCheck)

choice = some.integers(0, 999)
amounts = some.sampled_from((-150, -80, 50, 90, 150, 180, 250, 900))
troubles = some.sampled_from((None, None, None, None, "below_threshold", "no_account", "refused"))


class Arbiter(Connector):
    """The connector, which refuses to claim what has a number or is closed for good."""

    def _claim(self, body: Body) -> list[Record]:
        for document in self.documents.values():
            if document["status"] == "validated":
                self.refused_claims |= dict.fromkeys(document["billing_event_ids"], "already_invoiced")
        return super()._claim(body)

    def _unclaim(self, body: Body) -> list[Record]:
        if body["billing_events"] == "cancel":
            self.refused_claims |= dict.fromkeys(body["billing_event_ids"], "closed")
        return super()._unclaim(body)

    def _cancel(self, body: Body) -> list[Record]:
        if body["billing_events"] == "cancel":
            closed = [each for name in body["document_ids"] for each in self._events_of_draft(name)]
            self.refused_claims |= dict.fromkeys(closed, "closed")
        return super()._cancel(body)

    def _events_of_draft(self, document_id: str) -> list[str]:
        document = self.documents[document_id]
        events: list[str] = document["billing_event_ids"]
        return events if document["status"] == "draft" else []


async def _awaited(work: Awaitable[Result]) -> Result:
    return await work


class RunMachine(RuleBasedStateMachine):
    """Drives one replica and the model side by side; one run at a time is under way."""

    def __init__(self, database: FreshDatabase) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.database = database
        self.model = Model()
        self.connector = Arbiter()
        self.late: list[Record] = []
        self.told: list[Record] = []
        self.runs: Runs
        self.do(self._open())

    def do(self, work: Awaitable[Result]) -> Result:
        return self.loop.run_until_complete(_awaited(work))

    async def _open(self) -> None:
        administrator = await asyncpg.connect(self.database.administrator_url)
        await administrator.execute(EMPTY)
        await administrator.close()
        store = Database(
            self.database.url, schema=self.database.schema, application_name="machine", connections_max=2
        )
        await store.open()
        self.runs = Runs(store, self.connector)

    @property
    def rests(self) -> bool:
        """Whether nothing is under way, as far as the model knows."""
        held_back = all(not run.pending or self._is_held_back(run) for run in self.model.runs.values())
        return held_back and not self.late

    @staticmethod
    def _is_held_back(run: Run) -> bool:
        return run.disabled and not run.started and run.status != "cancelling"

    def pick_run(self, number: int) -> Run:
        runs = list(self.model.runs.values())
        return runs[number % len(runs)]

    # What users do

    @initialize(number=some.integers(2, 6), data=some.data())
    def begin(self, number: int, data: Any) -> None:
        self.change_rules(200, 100)
        for _ in range(number):
            self.release_event(data.draw(amounts), data.draw(troubles))

    @precondition(lambda self: self.rests and len(self.model.events) < EVENTS_MAX)
    @rule(amount=amounts, trouble=troubles)
    def release_event(self, amount: int, trouble: str | None) -> None:
        event_id = f"BE-{len(self.model.events):02}"
        self.model.events[event_id] = Event(event_id, amount, trouble)
        if trouble in CODES:
            self.connector.not_passed[event_id] = CODES[trouble]
        elif trouble == "refused":
            names = [f"D-{event_id}{'.' * times}" for times in range(20)]
            self.connector.refused_validations |= dict.fromkeys(names, "no_open_series")
        self.do(self.runs.know(event(event_id, f"{amount}.00")))

    @precondition(lambda self: self.rests and len(self.model.runs) < RUNS_MAX)
    @rule(
        process_type=some.sampled_from(("manual", "manual", "automatic", "full_automatic")),
        on_rejected=some.sampled_from(("manual_action", "manual_action", "cancel", "move")),
        on_suspect=some.sampled_from(("automatic_validation", "manual_action", "cancel", "move")),
        incremental=some.booleans(),
    )
    def create_run(self, **wishes: Any) -> None:
        run_id = f"R-{len(self.model.runs)}"
        self.model.runs[run_id] = Run(run_id, **wishes)
        self.do(self.runs.command(create(run_id, **wishes)))

    @precondition(lambda self: self.model.runs)
    @rule(
        number=choice,
        action=some.sampled_from(
            ("process",) * 6 + ("render",) * 2 + ("close", "cancel", "disable", "enable", "enable")
        ),
        closes=some.booleans(),
    )
    def act(self, number: int, action: str, closes: bool) -> None:
        run = self.pick_run(number)
        if not self.rests:
            others = [each for each in self.model.runs.values() if each.pending and each is not run]
            if action == "enable" or others:  # a step would come to be under way beside another
                return
            self.model.catch_up(run, *self.do(self.runs.state(run.run_id)))
        self.do(self.runs.facts("run.refused"))
        fields = {
            "cancel": {"billing_events": "cancel" if closes else "reopen"},
            "render": {"format": "xml" if closes else "pdf"},
        }.get(action, {})
        self.do(self.runs.command(command(action, run.run_id, **fields)))
        refused = [fact["reasons"][0]["code"] for fact in self.do(self.runs.facts("run.refused"))]
        refusal = self.model.refusal(run, action)
        assert refused == ([] if refusal is None else [refusal]), (run, action)
        if refusal is None:
            self.model.act(run, action, closes=closes)

    @precondition(lambda self: self.rests and any(self.model.live(each) for each in self.model.runs.values()))
    @rule(
        number=choice,
        action=some.sampled_from(("validate", "accept", "reject", "quarantine", "cancel", "recheck")),
        everything=some.booleans(),
        closes=some.booleans(),
    )
    def decide(self, number: int, action: str, everything: bool, closes: bool) -> None:
        found = [run for run in self.model.runs.values() if self.model.live(run) and not run.pending]
        if not found:
            return
        run = found[number % len(found)]
        documents = self.model.live(run)
        chosen = documents if everything else [documents[number % len(documents)]]
        fields: Body = {"reject": {"reason": "looked at"}}.get(action, {})
        if action == "cancel":
            fields = {"billing_events": "cancel" if closes else "reopen"}
        select = {"document_ids": [document.document_id for document in chosen]}
        self.do(self.runs.command(review(action, run.run_id, select=select, **fields)))
        for document in chosen:
            self._decide(run, document, action, closes=closes)
        self.model.reviewed(run)
        self.settle_in_order()

    def _decide(self, run: Run, document: Document, action: str, *, closes: bool) -> None:
        match action:
            case "validate" if document.review != "rejected" and not run.disabled:
                self.model.validate_document(document)
            case "accept" if document.review != "draft":
                document.review, document.by_user = "draft", False
            case "reject":
                document.review, document.by_user = "rejected", True
            case "quarantine" if not run.is_quarantine:
                self.model.move(document)
            case "cancel":
                self.model.cancel_document(document, closes=closes)
            case "recheck" if not document.by_user:
                document.review = self.model.verdict(document.event)

    @precondition(lambda self: any(each.pending and each.rendering for each in self.model.runs.values()))
    @rule(
        number=choice,
        action=some.sampled_from(("validate", "accept", "reject", "quarantine", "cancel", "recheck")),
        closes=some.booleans(),
    )
    def decide_while_files_are_made(self, number: int, action: str, closes: bool) -> None:
        """Validate and cancel wait for the rendering, all else is done at once."""
        [run, *_] = [each for each in self.model.runs.values() if each.pending and each.rendering]
        self.model.catch_up(run, *self.do(self.runs.state(run.run_id)))
        documents = [each for each in self.model.live(run) if each.queued is None]
        if not run.pending or not run.rendering or not documents:
            return
        document = documents[number % len(documents)]
        end = "cancel" if closes else "reopen"
        fields: Body = {"reject": {"reason": "looked at"}, "cancel": {"billing_events": end}}.get(action, {})
        select = {"document_ids": [document.document_id]}
        self.do(self.runs.command(review(action, run.run_id, select=select, **fields)))
        match action:
            case "validate" if document.review != "rejected" and not run.disabled:
                document.queued = "validate"
            case "cancel":
                document.queued = end
            case "accept" | "reject" | "quarantine" | "recheck":
                self._decide(run, document, action, closes=closes)

    @precondition(lambda self: self.rests)
    @rule(
        rejected_above=some.sampled_from((100, 200, 1000)), suspect_above=some.sampled_from((60, 100, 1000))
    )
    def change_rules(self, rejected_above: int, suspect_above: int) -> None:
        self.model.rejected_above, self.model.suspect_above = rejected_above, suspect_above
        wanted = [("LARGE", FailStatus.REJECTED, rejected_above), ("ODD", FailStatus.SUSPECT, suspect_above)]

        async def save(work: UnitOfWork) -> None:
            for code, fail_status, limit in wanted:
                made = Rule(
                    code=code,
                    kind=None,
                    priority=1,
                    active_from=None,
                    active_to=None,
                    fail_status=fail_status,
                    mode=RuleMode.VALIDATION,
                    expression=f"total_net <= {limit}",
                    combine=None,
                    children=(),
                    message=code,
                )
                await insert_rule(work.connection, made, {"user_id": "u1"})

        self.do(self.runs.database.run(save))

    # What happens by itself

    @precondition(lambda self: not self.rests)
    @rule(chunks=some.integers(1, 4), seed=choice)
    def go_on_a_little(self, chunks: int, seed: int) -> None:
        """A few chunks; of what the connector answers some comes now, and the rest later."""
        for _ in range(chunks):
            self.do(self.runs.chunk())
        self.late += self.connector.answer(self.do(self.runs.take_published("accounting.")))
        random.Random(seed).shuffle(self.late)
        now, self.late = self.late[: len(self.late) // 2], self.late[len(self.late) // 2 :]
        self._tell(now)

    @precondition(lambda self: not self.rests)
    @rule(seed=choice)
    def settle(self, seed: int) -> None:
        """Everything goes on to its end; answers come twice, in any order, and the process dies now and then."""
        source = random.Random(seed)

        def mixed(records: list[Record]) -> list[list[Record]]:
            doubled = [*records, *records]
            source.shuffle(doubled)
            return [doubled[place : place + 3] for place in range(0, len(doubled), 3)]

        for batch in mixed(self.late):
            self._tell(batch)
            self.crash()
        self.late = []
        self.do(self.runs.settle(mixed))
        self.model.settle()

    def settle_in_order(self) -> None:
        self.do(self.runs.settle())
        self.model.settle()

    @rule()
    def crash(self) -> None:
        """A new process takes over."""
        self.runs = Runs(self.runs.database, self.connector)

    @precondition(lambda self: self.told)
    @rule(number=choice)
    def tell_again(self, number: int) -> None:
        self.do(self.runs.accounting_facts(self.told[number % len(self.told)]))

    def _tell(self, records: list[Record]) -> None:
        self.do(self.runs.accounting_facts(*records))
        self.told += records

    # What always holds

    @invariant()
    def books_balance(self) -> None:
        self.do(self._check_books())

    async def _check_books(self) -> None:
        pool = self.runs.database.pool
        run_ids = [row["run_id"] for row in await pool.fetch("select run_id from runs")]
        if run_ids:
            await self.runs.check_books(*run_ids)
        held = await pool.fetch(
            "select billing_event_id from run_events where state in ('draft', 'validated') and not let_go"
            " group by billing_event_id having count(*) > 1"
        )
        assert held == []

    @invariant()
    def resting_runs_are_the_models(self) -> None:
        if self.rests:
            self.do(self.runs.settle())
            self.model.settle()
            self.do(self._compare())

    async def _compare(self) -> None:
        for run in self.model.runs.values():
            execution = "queued" if run.pending else "idle"
            row = await self.runs.database.pool.fetchrow(
                "select status, execution, disabled from runs where run_id = $1", run.run_id
            )
            assert row is not None
            status = row["status"]
            if run.is_quarantine and (status, run.status) == ("rejected", "draft_invoices"):
                # Born rejected; its documents speak from the next change on, and how many come at its birth is the
                # affair of the origin's chunks.
                status = run.status
            assert (status, row["execution"], row["disabled"]) == (run.status, execution, run.disabled), run
            rows = await self.runs.database.pool.fetch(
                "select billing_event_id, state, amount from run_events where run_id = $1 and claimed",
                run.run_id,
            )
            assert {each["billing_event_id"]: (each["state"], int(each["amount"])) for each in rows} == {
                event_id: (fate, self.model.events[event_id].amount) for event_id, fate in run.fates.items()
            }, run
        documents = self.model.documents.values()
        rows = await self.runs.database.pool.fetch("select document_id, run_id, review from run_documents")
        assert {each["document_id"]: (each["run_id"], each["review"]) for each in rows} == {
            each.document_id: (each.run_id, each.review) for each in documents
        }
        waiting = await self.runs.database.pool.fetch(
            "select document_id from run_documents where 'queued' in (xml_file, pdf_file)"
        )
        assert waiting == []
        held = {each.event_id for each in self.model.events.values() if each.holder in self.model.runs}
        assert set(self.connector.claims) == held

    def teardown(self) -> None:
        try:
            self.do(self._look_back())
        finally:
            self.do(self.runs.database.close())
            self.loop.close()

    async def _look_back(self) -> None:
        """Nothing was put aside."""
        rows = await self.runs.database.pool.fetch("select reason from dead_letters")
        assert [row["reason"] for row in rows] == []


def run(database: FreshDatabase, *, examples: int, steps: int, phases: tuple[Phase, ...]) -> None:
    """Let the machine run."""
    make: Any = lambda: RunMachine(database)  # noqa: E731 - it may be a factory, whatever its type says
    run_state_machine_as_test(
        make,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=HEALTH,
            phases=phases,
            print_blob=True,
        ),
    )


def test_runs_are_those_of_the_model_whatever_happens(billing_runs_database: FreshDatabase) -> None:
    run(billing_runs_database, examples=25, steps=30, phases=(Phase.generate,))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_runs_are_those_of_the_model_for_long(billing_runs_database: FreshDatabase) -> None:
    examples = int(os.environ.get("SLUICE_MACHINE_EXAMPLES", "400"))
    run(billing_runs_database, examples=examples, steps=60, phases=(Phase.generate, Phase.shrink))
