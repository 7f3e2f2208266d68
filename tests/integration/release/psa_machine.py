"""What PSA sends to the machine of `release_machine`: the world, changes of caps, events, deletes, records."""

from typing import Any

from hypothesis import strategies as some
from hypothesis.stateful import initialize

from integration.release.driver import (
    ACCOUNT,
    business_record,
    company,
    deleted,
    generated,
    item,
    project,
)
from integration.release.reference_records import (
    CHUNK_SIZE,
    REVERTIBLE,
    TOLERANCE,
    UNRELEASED,
    Event,
    Item,
    Project,
)
from integration.release.release_machine import BooksMachine, amount_of, happens
from support.records import message_record

BUDGETS = ("B-1", "B-2")

choice = some.integers(0, 999)
pence = some.sampled_from((-5000, -100, 0, 99, 1000, 2500, 4001, 5000, 7500, 9900, 10000, 15000))
contents = some.lists(
    some.tuples(pence, some.sampled_from((None, *BUDGETS)), some.integers(0, 1)),
    min_size=1,
    max_size=CHUNK_SIZE,
)
limits = some.sampled_from((0, 5000, 10000, 12000, 20000, 30000))
project_ids = some.sampled_from(("P-1", "P-2"))


class PsaMachine(BooksMachine):
    """Sends what PSA sends."""

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
        version, made = event.version + 1, self._items(event.event_id, items)
        self._send_event(Event(event.event_id, event.project_id, event.currency, event.date, made, version))
        if event.origin_id is not None:
            self.ids_taken += 1
            assert self.do(self.refused()) == {}
            return
        expected = {} if event.stage in UNRELEASED else {event.event_id: (event.stage,)}
        assert self.do(self.refused()) == expected
        if event.stage in UNRELEASED:
            event.items, event.version = made, version

    @happens(1, when=lambda self: self.has(*UNRELEASED, *REVERTIBLE), number=choice)
    def delete_by_psa(self, number: int) -> None:
        event = self.pick(number, *UNRELEASED, *REVERTIBLE)
        self.send(self.driver.psa, deleted(event.event_id, event.version + 1))
        if event.origin_id is not None:
            self.ids_taken += 1
            assert self.do(self.refused()) == {}
        elif event.stage in UNRELEASED:
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
