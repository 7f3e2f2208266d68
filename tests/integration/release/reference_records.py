"""What the reference model's books hold: billing events, projects, jobs and verdicts, in whole pence."""

from dataclasses import dataclass

TOLERANCE = 99
CHUNK_SIZE = 3
UNRELEASED = {"awaiting_release", "queued"}
COUNTED = {"released", "invoiced", "reverting", "closed"}
REVERTIBLE = {"released", "invoiced", "closed"}

Total = tuple[str, str | None, str]


@dataclass(frozen=True)
class Item:
    """One line; `created` orders it before its id does. Its record is named after it, unless it is an adjustment."""

    item_id: str
    created: int
    amount: int
    budget_id: str | None = None
    record_version: int = 1
    is_adjustment: bool = False

    @property
    def order(self) -> tuple[int, str]:
        return self.created, self.item_id


@dataclass
class Event:
    """A billing event."""

    event_id: str
    project_id: str
    currency: str
    date: int
    items: list[Item]
    version: int = 1
    stage: str = "awaiting_release"
    on_hold: bool = False
    queued_by: str | None = None
    before_revert: str | None = None
    origin_id: str | None = None
    root_id: str | None = None

    @property
    def amount(self) -> int:
        return sum(item.amount for item in self.items)

    @property
    def root(self) -> str:
        return self.root_id or self.event_id

    def on_budgets(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for item in self.items:
            if item.budget_id is not None:
                found[item.budget_id] = found.get(item.budget_id, 0) + item.amount
        return found


@dataclass(frozen=True)
class Project:
    """A project with its budgets: amount and whether it is capped, by id."""

    project_id: str
    bookings: int
    apply_cap: bool
    enforce: bool
    bill_to_budget_cap: bool
    on_hold: bool
    budgets: dict[str, tuple[int, bool]]
    version: int = 1

    @property
    def enforced(self) -> bool:
        return self.apply_cap and self.enforce

    @property
    def has_capped_budget(self) -> bool:
        return any(capped for _, capped in self.budgets.values())


@dataclass
class Job:
    """A job's frozen selection, and how far it is."""

    job_id: str
    selection: list[str]
    started: bool = False
    done: int = 0


@dataclass(frozen=True)
class Verdict:
    """Codes of a refusal; else what stays and is released, what moves, and the overages by item."""

    codes: tuple[str, ...] = ()
    kept: tuple[Item, ...] = ()
    moved: tuple[Item, ...] = ()
    overages: tuple[tuple[Item, int], ...] = ()
