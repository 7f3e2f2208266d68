"""What must have come of a plan: stages, released totals, documents, jobs, process runs and who was told of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from support.load.plan import (
    CHUNK_EVENTS,
    GROUP_EVENTS,
    HOT_AMOUNT,
    HOT_FITTING,
    SPLIT_AMOUNTS,
    SPLIT_BOOKINGS,
    Event,
    Kind,
    Plan,
)

INVOICE: Final = "sales_invoice"
CREDIT_NOTE: Final = "sales_credit_note"

_STAGES: Final[Mapping[Kind, str]] = {
    Kind.COMMAND: "invoiced",
    Kind.BLIND: "invoiced",
    Kind.HTTP: "invoiced",
    Kind.CREDIT: "invoiced",
    Kind.SPLIT: "invoiced",
    Kind.JOB: "invoiced",
    Kind.FAILING_JOB: "released",
    Kind.AND_INVOICE: "invoiced",
    Kind.ON_DEMAND: "invoiced",
    Kind.RUN: "invoiced",
    Kind.REVERTED: "reverted",
    Kind.DELETED: "deleted",
    Kind.WAITING: "awaiting_release",
}


@dataclass(frozen=True, slots=True)
class ExpectedDocument:
    """A document about one event: its kind and its net total in the currency's smallest unit."""

    event_id: str
    kind: str
    net: int
    is_mirror: bool = False


@dataclass(frozen=True, slots=True)
class ExpectedJob:
    """How a release job must have ended."""

    status: str
    released: int
    failed: int


@dataclass(slots=True)
class Expectation:
    """What must be there. Which events of a hot cap fit is for the system to choose: only their number is known."""

    stages: dict[str, str] = field(default_factory=dict)
    hot_groups: dict[str, list[str]] = field(default_factory=dict)
    released: dict[str, int] = field(default_factory=dict)
    currencies: dict[str, str] = field(default_factory=dict)
    documents: set[ExpectedDocument] = field(default_factory=set)
    jobs: dict[str, ExpectedJob] = field(default_factory=dict)
    process_runs: dict[str, int] = field(default_factory=dict)
    """The number of invoices of each."""
    billing_runs: list[str] = field(default_factory=list)
    mails: dict[str, int] = field(default_factory=dict)
    """How many mails each address must have been sent."""


def expect(plan: Plan) -> Expectation:
    """What the plan must lead to once everything has been sent and is quiet."""
    expected = Expectation()
    for project in plan.projects:
        expected.released[project.project_id] = 0
        expected.currencies[project.project_id] = project.currency
    for event in plan.events:
        if event.kind is not Kind.HOT:
            _expect_event(expected, event, _stage(plan, event))
    for group, events in plan.groups(Kind.HOT).items():
        expected.hot_groups[group] = [event.event_id for event in events]
        project = events[0].project
        expected.released[project.project_id] = HOT_FITTING * HOT_AMOUNT
        expected.mails[str(project.alert_recipient)] = 1
    _expect_groups(expected, plan)
    return expected


def user_of(name: str) -> dict[str, str]:
    """Who asks for a job, a run or a release: a user of its own, so that it can be seen what each was told."""
    return {"user_id": name, "email": f"{name}@example.com".lower()}


def _stage(plan: Plan, event: Event) -> str:
    if event.kind is Kind.FAILING_JOB:
        group = plan.groups(Kind.FAILING_JOB)[str(event.group)]
        if group.index(event) < CHUNK_EVENTS:
            return "awaiting_release"
    return _STAGES[event.kind]


def _expect_event(expected: Expectation, event: Event, stage: str) -> None:
    expected.stages[event.event_id] = stage
    kept = event.total
    if event.kind is Kind.SPLIT:
        kept = SPLIT_BOOKINGS
        expected.stages[f"{event.event_id}.2"] = "awaiting_release"
        assert kept == sum(SPLIT_AMOUNTS[:2])
    if stage in ("released", "invoiced"):
        expected.released[event.project.project_id] += kept
    if stage in ("invoiced", "reverted"):
        kind = INVOICE if kept > 0 else CREDIT_NOTE
        expected.documents.add(ExpectedDocument(event.event_id, kind, abs(kept)))
        if stage == "reverted":
            expected.documents.add(ExpectedDocument(event.event_id, CREDIT_NOTE, abs(kept), is_mirror=True))


def _expect_groups(expected: Expectation, plan: Plan) -> None:
    """Jobs that fail are mailed, process runs of many events are mailed, billing runs are mailed at two statuses."""
    for group, events in plan.groups(Kind.JOB, Kind.AND_INVOICE, Kind.FAILING_JOB).items():
        fails = events[0].kind is Kind.FAILING_JOB
        failed = CHUNK_EVENTS if fails else 0
        status = "completed_with_errors" if fails else "completed"
        expected.jobs[group] = ExpectedJob(status, GROUP_EVENTS - failed, failed)
        # A job that went well is not mailed, but what it passed to accounting is.
        expected.mails[user_of(group)["email"]] = 1
    for group in plan.groups(Kind.ON_DEMAND):
        expected.process_runs[group] = GROUP_EVENTS
        expected.mails[user_of(group)["email"]] = 1
    expected.billing_runs += plan.groups(Kind.RUN)
