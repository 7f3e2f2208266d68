"""The sample feed: what PSA sends in the demo, in order, and what is expected to be there afterwards."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Any, Final

from sluice.demo.arithmetic import total, written
from sluice.demo.items import Item, ItemMaker, chain_records
from sluice.demo.kafka import Outgoing
from sluice.demo.world import BUDGET_AMOUNT, CAPPED_BOOKINGS, WARRANTY, Project, World, make_world

EVENTS_MIN: Final = 29
LINES_CAPPED: Final = (Decimal("100.00"), Decimal("150.00"), Decimal("140.00"))
"""The specification's own example: of 300 left, the first two are released and 50 remain."""

REMAINING_BEFORE: Final = Decimal("300.00")
REMAINING_AFTER: Final = Decimal("50.00")
BUDGET_ROOM: Final = Decimal("100.00")
LINES_BUDGETED: Final = (Decimal("150.00"), Decimal("40.00"))
"""Of 100 left of the budget the first partly fits, so that 50 of it are taken out; for the second there is no room."""

LINES_WITH_WARRANTY: Final = (Decimal("100.00"), Decimal("20.00"))
"""The second is warranty work, which its company's item criterion leaves out of documents."""

INVOICED_AMOUNT: Final = Decimal("200.00")
CREDITED_AMOUNT: Final = Decimal("80.00")
EXCESSIVE_AMOUNT: Final = Decimal("120.01")
"""Of 200 invoiced 80 are credited; a cent more than the 120 that are left is refused."""

LARGE_AMOUNT: Final = Decimal("12000.00")
SMALL_AMOUNT: Final = Decimal("5.00")

_GENERATED: Final = "psa.billing-event.generated.v1"
_TOPIC: Final = "psa.billing-events"
_BULK_PROJECTS: Final = ("yard", "coast", "bridge", "gulf")
_GROUPS: Final = ("job", "and_invoice", "auto", "run")


@dataclass(frozen=True, slots=True)
class BillingEvent:
    """One billing event of the sample, in the version that is to count."""

    billing_event_id: str
    project: Project
    batch_id: str
    date: str
    items: tuple[Item, ...]
    auto_pass: bool = False
    version: int = 1
    corrects: str | None = None
    """The event whose document it corrects, by its id."""

    @property
    def summary_amount(self) -> Decimal:
        """The sum of its items."""
        return total(item.amount for item in self.items)

    def message(self) -> Outgoing:
        """`psa.billing-event.generated.v1`."""
        body = {
            "billing_event_id": self.billing_event_id,
            "version": self.version,
            "project_id": self.project.project_id,
            "batch_id": self.batch_id,
            "date": self.date,
            "currency": self.project.currency,
            "customer_reference": f"PO {self.project.project_id}",
            "auto_pass_to_accounting": self.auto_pass,
            "corrects_billing_event_id": self.corrects,
            "items": [item.body(self.project.currency) for item in self.items],
        }
        return self._sent(_GENERATED, f"{self.billing_event_id}:{self.version}", body)

    def deleted(self, version: int) -> Outgoing:
        """`psa.billing-event.deleted.v1`."""
        body = {"billing_event_id": self.billing_event_id, "version": version}
        return self._sent("psa.billing-event.deleted.v1", f"{self.billing_event_id}:{version}", body)

    def _sent(self, type_: str, message_id: str, body: Mapping[str, Any]) -> Outgoing:
        return Outgoing(_TOPIC, self.project.project_id, type_, message_id, body)


@dataclass(slots=True)
class Feed:
    """What is sent, in its order, and what is expected of it.

    `events` holds the events that are to be stored, by id; `parts` names those that play a part of their own, `groups`
    those that are released together. `poison` are messages that must become dead letters, with a word of their reason.
    """

    world: World
    events: dict[str, BillingEvent] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=lambda: {group: [] for group in _GROUPS})
    first: list[Outgoing] = field(default_factory=list)
    """All but what follows."""

    late: list[Outgoing] = field(default_factory=list)
    """The project that an event waits for."""

    again: list[Outgoing] = field(default_factory=list)
    """What must change nothing: a message sent again, and a version older than the stored one."""

    poison: list[tuple[Outgoing, str]] = field(default_factory=list)
    deleted_id: str = ""

    def event(self, part: str) -> BillingEvent:
        """The event that plays this part."""
        return self.events[self.parts[part]]

    def batches(self, group: str) -> list[str]:
        """The batches of a group's events."""
        return sorted({self.events[event_id].batch_id for event_id in self.groups[group]})

    @property
    def billing_events_sent(self) -> int:
        """How many different billing events were sent, with the one that was deleted before it came."""
        return len(self.events) + 1

    @property
    def messages(self) -> int:
        """How many messages are sent in all."""
        return len(self.first) + len(self.late) + len(self.again) + len(self.poison)


def make_feed(events: int, seed: int) -> Feed:
    """A feed of this many billing events (at least EVENTS_MIN); the same seed makes the same feed."""
    world = make_world(f"S{seed}")
    feed = Feed(world)
    maker = _EventMaker(feed, Random(seed))  # noqa: S311 - a sample, not a secret
    maker.make_special()
    maker.make_bulk(events - feed.billing_events_sent)
    maker.order()
    return feed


class _EventMaker:
    def __init__(self, feed: Feed, random: Random) -> None:
        self._feed = feed
        self._projects = feed.world.projects
        self._random = random
        self._items = ItemMaker(random)
        self._gone: BillingEvent | None = None
        self._older: BillingEvent | None = None

    def make_special(self) -> None:
        """The events that each play a part of their own."""
        hundred = Decimal("100.00")
        self._single("quick", "coast", [Decimal("480.50"), Decimal("19.50")])
        self._bill_again(self._single("twice", "coast", [Decimal("480.50")], day=2))
        self._single("cap_filler", "capped", [CAPPED_BOOKINGS - REMAINING_BEFORE])
        self._single("cap_split", "capped", list(LINES_CAPPED), day=2)
        self._single("undone", "capped", [REMAINING_AFTER], day=3)
        self._on_budget(self._single("budget_filler", "budgeted", [BUDGET_AMOUNT - BUDGET_ROOM]))
        self._on_budget(self._single("budget_split", "budgeted", list(LINES_BUDGETED), day=2))
        self._of_warranty(self._single("left_out", "yard", list(LINES_WITH_WARRANTY), day=4))
        self._single("corrected", "yard", [INVOICED_AMOUNT], day=5)
        self._credit(self._single("partial_credit", "yard", [-CREDITED_AMOUNT], day=6))
        self._credit(self._single("excessive_credit", "yard", [-EXCESSIVE_AMOUNT], day=7))
        self._single("below_threshold", "tracked", [Decimal("500.00")])
        self._single("over_threshold", "tracked", [Decimal("400.00")], day=2)
        self._single("waiting", "late", [Decimal("75.25")])
        self._single("by_command", "gulf", [Decimal("1234.567"), Decimal("0.433")])
        self._single("auto_single", "bridge", [Decimal(98_765)], auto_pass=True)
        self._single("zero", "coast", [hundred, -hundred], group="and_invoice")
        self._single("credit", "yard", [Decimal("-60.40")], group="and_invoice")
        self._single("small", "rail", [SMALL_AMOUNT], group="run")
        self._single("large", "rail", [LARGE_AMOUNT], group="run")
        self._single("held", "yard", [Decimal("310.00")], group="job")
        self._single("companyless", "companyless", [Decimal("220.00")], group="job")
        newer = self._single("newer", "yard", [Decimal("120.00")], group="job", day=3)
        self._older = replace(newer, items=tuple(self._of_amounts(newer, [hundred])))
        self._put(replace(newer, version=2))
        self._gone = self._make("gone", "yard", "single", [hundred])

    def make_bulk(self, count: int) -> None:
        """The many others: in all currencies, some of them credits, spread over the groups."""
        for number in range(count):
            group = _GROUPS[number % len(_GROUPS)]
            part = (
                "rail" if group == "run" else _BULK_PROJECTS[(number // len(_GROUPS)) % len(_BULK_PROJECTS)]
            )
            project = self._projects[part]
            event_id = f"{self._feed.world.code}-BE-{number + 1:05}"
            date = _date(self._random.randint(4, 20))
            is_credit = number % 9 == 8
            items = self._items.at_random(project, event_id, date, is_credit=is_credit)
            batch_id = self._batch(project, group)
            event = BillingEvent(event_id, project, batch_id, date, tuple(items), auto_pass=group == "auto")
            self._put(event)
            self._feed.groups[group].append(event_id)

    def order(self) -> None:
        """Put the messages in the order in which they are sent."""
        feed, world = self._feed, self._feed.world
        assert self._gone is not None
        assert self._older is not None
        in_use = list(world.projects.values())
        newer = feed.event("newer")
        events = [event.message() for event in feed.events.values() if event is not newer]
        # Messages may come in any order; only those of one billing event are kept in theirs.
        self._random.shuffle(events)
        events += [self._gone.deleted(2), self._gone.message(), self._older.message(), newer.message()]
        late = world.projects["late"]
        feed.deleted_id = self._gone.billing_event_id
        feed.first = [
            *events,
            *(company.message() for company in world.companies),
            *(account.message() for account in world.accounts),
            *(project.message() for project in in_use if project is not late),
            *(record for project in in_use for record in chain_records(project)),
            *self._items.records,
        ]
        feed.late = [late.message()]
        feed.again = [
            feed.event("quick").message(),
            replace(self._older.message(), id=f"{newer.billing_event_id}:late"),
        ]
        feed.poison = self._poison(feed.event("quick"))

    def _poison(self, event: BillingEvent) -> list[tuple[Outgoing, str]]:
        """Not JSON, a fractional number where a decimal string belongs, and an id used for another payload."""
        sound = event.message()
        assert not isinstance(sound.body, bytes)
        fractional = {**sound.body, "billing_event_id": f"{event.billing_event_id}-F"}
        fractional["items"] = [{**item, "amount": 100.1} for item in sound.body["items"]]
        other = json.loads(json.dumps(sound.body)) | {"customer_reference": "another payload"}
        return [
            (replace(sound, id=f"{sound.id}:broken", body=b'{"billing_event_id": "'), "JSON"),
            (replace(sound, id=f"{sound.id}:fractional", body=fractional), "amount"),
            (replace(sound, body=other), "payload"),
        ]

    def _single(
        self,
        part: str,
        project: str,
        amounts: list[Decimal],
        *,
        group: str = "single",
        day: int = 1,
        auto_pass: bool = False,
    ) -> BillingEvent:
        event = self._make(part, project, group, amounts, day=day, auto_pass=auto_pass)
        self._put(event)
        self._feed.parts[part] = event.billing_event_id
        if group in self._feed.groups:
            self._feed.groups[group].append(event.billing_event_id)
        return event

    def _make(
        self,
        part: str,
        project: str,
        group: str,
        amounts: list[Decimal],
        *,
        day: int = 1,
        auto_pass: bool = False,
    ) -> BillingEvent:
        in_project = self._projects[project]
        event_id = f"{self._feed.world.code}-BE-{part.upper().replace('_', '-')}"
        date = _date(day)
        items = self._items.of_amounts(in_project, event_id, date, amounts)
        return BillingEvent(
            event_id, in_project, self._batch(in_project, group), date, tuple(items), auto_pass
        )

    def _of_amounts(self, event: BillingEvent, amounts: Sequence[Decimal]) -> list[Item]:
        """The event's own items with other amounts."""
        return [
            replace(item, unit_price=amount, amount=amount)
            for item, amount in zip(event.items, amounts, strict=True)
        ]

    def _on_budget(self, event: BillingEvent) -> None:
        """The event again, with all its items on its project's budget."""
        (budget,) = event.project.budgets
        self._put(
            replace(event, items=tuple(replace(item, budget_id=budget.budget_id) for item in event.items))
        )

    def _bill_again(self, event: BillingEvent) -> None:
        """The event again, its item billing the record that the first one of the quick release bills."""
        billed, again = self._feed.event("quick").items[0], event.items[0]
        self._put(replace(event, items=(replace(billed, item_id=again.item_id),)))

    def _credit(self, event: BillingEvent) -> None:
        """The event again, its item crediting a part of the one that the corrected event bills."""
        corrected, item = self._feed.event("corrected"), event.items[0]
        credit = replace(
            corrected.items[0],
            item_id=item.item_id,
            quantity=Decimal(1),
            unit_price=item.amount,
            amount=item.amount,
        )
        self._put(replace(event, items=(credit,), corrects=corrected.billing_event_id))

    def _of_warranty(self, event: BillingEvent) -> None:
        """The event again, its last item being warranty work."""
        *others, last = event.items
        line = last.line_description if last.category == "milestone" else WARRANTY
        warranty = replace(last, description=WARRANTY, line_description=line)
        self._put(replace(event, items=(*others, warranty)))

    def _put(self, event: BillingEvent) -> None:
        self._feed.events[event.billing_event_id] = event

    def _batch(self, project: Project, group: str) -> str:
        """A batch holds the events of one account, currency and period."""
        account = project.account.account_id.rpartition("-")[2]
        return f"{self._feed.world.code}-BB-{account}-{project.currency}-{group.upper()}"


def _date(day: int) -> str:
    return f"2026-11-{day:02}"


def outline(feed: Feed) -> dict[str, Any]:
    """What is sent, for the report: counts, and sums by currency of the events that are to be stored."""
    sums: dict[str, Decimal] = {}
    for event in feed.events.values():
        currency = event.project.currency
        sums[currency] = sums.get(currency, Decimal(0)) + event.summary_amount
    return {
        "messages": feed.messages,
        "companies": len(feed.world.companies),
        "accounts": len(feed.world.accounts),
        "projects": len(feed.world.projects),
        "business_records": sum(message.topic == "psa.business-records" for message in feed.first),
        "billing_events": feed.billing_events_sent,
        "items": sum(len(event.items) for event in feed.events.values()),
        "amounts": {currency: written(amount, currency) for currency, amount in sorted(sums.items())},
    }
