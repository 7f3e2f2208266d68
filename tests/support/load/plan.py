"""A seeded plan of what is sent, and by its own arithmetic what must have come of it when all is quiet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, Final

from support.load.records import Record, cloud_event
from support.load.world import Project, account_id, sources, written

ACCOUNTS: Final = 4
OPEN_PROJECTS: Final = 8
GROUP_EVENTS: Final = 20
CULPRIT_PLACE: Final = 4
CHUNK_EVENTS: Final = 10
"""RELEASE_BATCH_SIZE of the systems that take the load: a group is two chunks, and no event has that many items."""

HOT_FITTING: Final = 8
HOT_AMOUNT: Final = 100_00
SPLIT_BOOKINGS: Final = 250_00
SPLIT_AMOUNTS: Final = (100_00, 150_00, 140_00)
"""The first two are exactly what the cap allows, the third moves to a new event."""

CULPRIT_BOOKINGS: Final = 10_00
GENERATED: Final = "psa.billing-event.generated.v1"
DELETED: Final = "psa.billing-event.deleted.v1"
EVENTS_TOPIC: Final = "psa.billing-events"
_DATE: Final = "2026-11-20"


class Kind(StrEnum):
    """What happens to an event, and so what must come of it."""

    COMMAND = "command"
    """Released by a command when it is there, passed to accounting by its flag."""
    BLIND = "blind"
    """The same by a command that is sent at once, and may have to wait for its event."""
    HTTP = "http"
    """The same by HTTP, asked again with the same key until there is an answer."""
    CREDIT = "credit"
    SPLIT = "split"
    HOT = "hot"
    """One of a group that wants more of one cap than there is."""
    JOB = "job"
    FAILING_JOB = "failing_job"
    """One of a job whose first chunk holds an event that is over its cap."""
    AND_INVOICE = "and_invoice"
    ON_DEMAND = "on_demand"
    RUN = "run"
    REVERTED = "reverted"
    DELETED = "deleted"
    WAITING = "waiting"


_GROUPED: Final = (Kind.RUN, Kind.AND_INVOICE, Kind.JOB, Kind.FAILING_JOB, Kind.ON_DEMAND, Kind.HOT)
_SINGLE: Final = (
    *(Kind.COMMAND,) * 8,
    *(Kind.BLIND,) * 3,
    *(Kind.HTTP,) * 2,
    Kind.CREDIT,
    Kind.SPLIT,
    Kind.REVERTED,
    Kind.DELETED,
    Kind.WAITING,
)
_PASSES_BY_ITSELF: Final = frozenset(
    {Kind.COMMAND, Kind.BLIND, Kind.HTTP, Kind.CREDIT, Kind.SPLIT, Kind.JOB, Kind.REVERTED}
)


@dataclass(frozen=True, slots=True)
class Event:
    """A billing event of the plan; amounts in the smallest unit of its project's currency, one per item."""

    event_id: str
    project: Project
    kind: Kind
    amounts: tuple[int, ...]
    group: str | None = None
    is_culprit: bool = False

    @property
    def total(self) -> int:
        """The summary amount."""
        return sum(self.amounts)

    def generated(self, version: int = 1) -> Record:
        """The message that PSA sends."""
        body = {
            "billing_event_id": self.event_id,
            "version": version,
            "project_id": self.project.project_id,
            "batch_id": f"BB-{self.project.project_id}",
            "date": _DATE,
            "currency": self.project.currency,
            "customer_reference": "PO 4711",
            "auto_pass_to_accounting": self.kind in _PASSES_BY_ITSELF,
            "items": [self._item(place, amount) for place, amount in enumerate(self.amounts)],
        }
        return cloud_event(
            EVENTS_TOPIC, self.project.project_id, GENERATED, f"{self.event_id}:{version}", body
        )

    def deleted(self, version: int = 2) -> Record:
        """The message by which PSA takes it back."""
        body = {"billing_event_id": self.event_id, "version": version, "project_id": self.project.project_id}
        return cloud_event(EVENTS_TOPIC, self.project.project_id, DELETED, f"{self.event_id}:{version}", body)

    def _item(self, place: int, amount: int) -> dict[str, Any]:
        currency = self.project.currency
        quantity = 2 if amount % 2 == 0 else 1
        return {
            "item_id": f"{self.event_id}-I{place}",
            "created_at": f"{_DATE}T09:{place:02}:00Z",
            "category": "timecard",
            "business_record_id": self.project.record_id(place),
            "business_record_version": 1,
            "date": _DATE,
            "description": f"Survey day {place}",
            "quantity": str(quantity),
            "unit_price": written(amount // quantity, currency),
            "amount": written(amount, currency),
        }


@dataclass(slots=True)
class Plan:
    """The events in the order in which they are sent, and the projects that they are of."""

    code: str
    projects: list[Project]
    events: list[Event] = field(default_factory=list)

    def sources(self) -> Iterator[Record]:
        """What must be known before the events."""
        return sources(self.code, ACCOUNTS, self.projects)

    def groups(self, *kinds: Kind) -> dict[str, list[Event]]:
        """The groups of these kinds, each with its events in order."""
        found: dict[str, list[Event]] = {}
        for event in self.events:
            if event.group is not None and event.kind in kinds:
                found.setdefault(event.group, []).append(event)
        return found

    def of(self, *kinds: Kind) -> list[Event]:
        """The events of these kinds."""
        return [event for event in self.events if event.kind in kinds]


def make_plan(code: str, *, seed: int, events: int) -> Plan:
    """A plan of about this many events, whose ids all begin with the code; the same seed makes the same plan.

    It begins with two groups of each kind (one where there are few events), so that what takes several steps has the
    time of the load to take them.
    """
    random = Random(seed)
    open_projects = [
        Project(
            f"{code}-P{number}",
            account_id(code, number % ACCOUNTS),
            currency="KWD" if number == OPEN_PROJECTS - 1 else "GBP",
        )
        for number in range(OPEN_PROJECTS)
    ]
    plan = Plan(code, open_projects)
    rounds = 2 if events >= 2 * len(_GROUPED) * GROUP_EVENTS * 2 else 1
    for number in range(rounds):
        for kind in _GROUPED:
            plan.events += _group(plan, random, kind, f"{code}-{kind.name.replace('_', '-')}-{number}")
    while len(plan.events) < events:
        plan.events.append(_single(plan, random, random.choice(_SINGLE), len(plan.events)))
    return plan


def _group(plan: Plan, random: Random, kind: Kind, group: str) -> Sequence[Event]:
    if kind is Kind.HOT:
        project = _own_project(
            plan, group, HOT_FITTING * HOT_AMOUNT, alert_recipient=f"{group}@example.com".lower()
        )
        return [Event(f"{group}-{n}", project, kind, (HOT_AMOUNT,), group) for n in range(GROUP_EVENTS)]
    events = []
    for number in range(GROUP_EVENTS):
        project, amounts = random.choice(plan.projects[: OPEN_PROJECTS - 1]), _amounts(random)
        is_culprit = kind is Kind.FAILING_JOB and number == CULPRIT_PLACE
        if is_culprit:
            project, amounts = _own_project(plan, group, CULPRIT_BOOKINGS), (CULPRIT_BOOKINGS + 1,)
        events.append(Event(f"{group}-{number:02}", project, kind, amounts, group, is_culprit))
    return events


def _single(plan: Plan, random: Random, kind: Kind, number: int) -> Event:
    event_id = f"{plan.code}-BE-{number:05}"
    if kind is Kind.SPLIT:
        return Event(event_id, _own_project(plan, event_id, SPLIT_BOOKINGS), kind, SPLIT_AMOUNTS)
    amounts = _amounts(random)
    if kind is Kind.CREDIT:
        amounts = tuple(-amount for amount in amounts)
    return Event(event_id, random.choice(plan.projects[:OPEN_PROJECTS]), kind, amounts)


def _own_project(plan: Plan, name: str, bookings: int, *, alert_recipient: str | None = None) -> Project:
    project = Project(
        f"{name}-P", account_id(plan.code, 0), bookings=bookings, alert_recipient=alert_recipient
    )
    plan.projects.append(project)
    return project


def _amounts(random: Random) -> tuple[int, ...]:
    return tuple(random.randint(1_00, 900_00) for _ in range(random.randint(1, 4)))
