"""What the release service should do, said a second time: small, slow, in whole pence, and without its code.

domain.md sections 1 to 3, as far as the machine of `test_release_machine` goes: one currency that caps are in and
another, no optional fields, tolerance 0.99 on every budget, chunks all or nothing.
"""

import copy
from dataclasses import dataclass, field, replace

from integration.release.reference_records import (
    CHUNK_SIZE,
    REVERTIBLE,
    TOLERANCE,
    UNRELEASED,
    Event,
    Item,
    Job,
    Project,
    Total,
    Verdict,
)


@dataclass
class Model:
    """The books as they should be."""

    projects: dict[str, Project] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    records: dict[str, tuple[int, int]] = field(default_factory=dict)
    totals: dict[Total, int] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    deletions: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def total(self, project_id: str, budget_id: str | None, currency: str = "GBP") -> int:
        return self.totals.get((project_id, budget_id, currency), 0)

    def taken(self, project_id: str, budget_id: str | None) -> int:
        """What decisions count as used: the total, and what credits under revert will take."""
        on_cap = (
            event.amount if budget_id is None else event.on_budgets().get(budget_id, 0)
            for event in self.events.values()
            if (event.project_id, event.currency, event.stage) == (project_id, "GBP", "reverting")
        )
        return self.total(project_id, budget_id) - sum(amount for amount in on_cap if amount < 0)

    # One event

    def left(self, project_id: str, budget_id: str | None) -> int:
        """What may still be released on the project or, with the tolerance, on one of its budgets."""
        project = self.projects[project_id]
        allowed = project.bookings if budget_id is None else project.budgets[budget_id][0] + TOLERANCE
        return allowed - self.taken(project_id, budget_id)

    def verdict(self, event_id: str, *, in_job: bool, split: bool, job_id: str | None = None) -> Verdict:
        event = self.events.get(event_id)
        if event is None:
            return Verdict(("not_found",))
        alone = {"invoiced": "already_released", "released": "already_released"}.get(event.stage, event.stage)
        if event.stage != "awaiting_release" and not (event.stage == "queued" and event.queued_by == job_id):
            return Verdict((alone,))
        project = self.projects[event.project_id]
        codes = []
        if event.on_hold or project.on_hold:
            codes.append("on_hold")
        if any(self._is_late(item) for item in event.items):
            codes.append("out_of_sync")
        return self._verdict_of_caps(event, project, codes, in_job=in_job, split=split)

    def _is_late(self, item: Item) -> bool:
        version, _ = self.records.get(item.item_id, (0, 0))
        return not item.is_adjustment and version > item.record_version

    def _verdict_of_caps(
        self, event: Event, project: Project, codes: list[str], *, in_job: bool, split: bool
    ) -> Verdict:
        conflict = project.enforced and project.has_capped_budget and event.amount > 0
        if conflict:
            codes = [*codes, "cap_configuration_conflict"]
        if event.currency != "GBP":
            if project.enforced or project.has_capped_budget:
                return Verdict((*codes, "cap_currency_mismatch"))
            return Verdict(tuple(codes)) if codes else Verdict(kept=tuple(event.items))
        remaining = project.bookings - self.taken(project.project_id, None)
        over_project = project.enforced and event.amount > 0 and event.amount > remaining
        over = self._budgets_over(event, project)
        if codes:
            plain = ["cap_exceeded"] * over_project + ["budget_cap_exceeded"] * bool(over)
            return Verdict((*codes, *plain))
        if over_project:
            return self._first_fit(event, remaining, in_job=in_job, split=split)
        if over:
            as_job = in_job
            if as_job and not project.bill_to_budget_cap:
                return Verdict(("budget_cap_exceeded",))
            return self._to_budgets(event, project, over, unasked=as_job, split=split)
        return Verdict(kept=tuple(event.items))

    def _budgets_over(self, event: Event, project: Project) -> set[str]:
        return {
            budget_id
            for budget_id, asked in event.on_budgets().items()
            if project.budgets[budget_id][1]
            and asked > 0
            and self.taken(project.project_id, budget_id) + asked > project.budgets[budget_id][0] + TOLERANCE
        }

    def _first_fit(self, event: Event, remaining: int, *, in_job: bool, split: bool) -> Verdict:
        if in_job:
            return Verdict(("cap_exceeded",))
        kept, moved, left = [], [], remaining
        for item in sorted(event.items, key=lambda each: each.order):
            if item.amount <= 0 or item.amount <= left:
                kept.append(item)
                left -= item.amount
            else:
                moved.append(item)
        if not kept or (sum(item.amount for item in kept) <= 0 and moved):
            return Verdict(("no_item_fits",))
        return Verdict(kept=tuple(kept), moved=tuple(moved)) if split else Verdict(("split_required",))

    def _to_budgets(
        self, event: Event, project: Project, over: set[str], *, unasked: bool, split: bool
    ) -> Verdict:
        room = {each: project.budgets[each][0] - self.taken(project.project_id, each) for each in over}
        kept, moved, overages = [], [], []
        for item in sorted(event.items, key=lambda each: each.order):
            if item.budget_id not in over:
                kept.append(item)
                continue
            left = room[item.budget_id]
            if item.amount <= max(left, 0):
                kept.append(item)
                room[item.budget_id] -= item.amount
            elif left > 0:
                kept.append(item)
                overages.append((item, item.amount - left))
                room[item.budget_id] = 0
            else:
                moved.append(item)
        billed = sum(item.amount for item in kept) - sum(overage for _, overage in overages)
        if not kept or billed == 0 or billed < 0 < event.amount:
            return Verdict(("budget_fully_released",))
        if not unasked and not split:
            return Verdict(("split_required",))
        return Verdict(kept=tuple(kept), moved=tuple(moved), overages=tuple(overages))

    def apply(self, event_id: str, verdict: Verdict) -> str | None:
        """Do what a verdict that does not refuse says; gives the id of the new event, if there is one."""
        event = self.events[event_id]
        new_id = None
        if verdict.moved or verdict.overages:
            new_id = self._split(event, verdict)
        event.stage, event.queued_by = "released", None
        self._book(event, 1)
        return new_id

    def _split(self, event: Event, verdict: Verdict) -> str:
        before = event.amount
        number = 2
        while f"{event.root}.{number}" in self.events:
            number += 1
        new_id = f"{event.root}.{number}"
        taken_out, carried_on = [], []
        for place, (item, overage) in enumerate(verdict.overages, start=1):
            made = replace(item, is_adjustment=True)
            taken_out.append(replace(made, item_id=f"{event.event_id}.adj{place}", amount=-overage))
            carried_on.append(replace(made, item_id=f"{new_id}.adj{place}", amount=overage))
        event.items = [*verdict.kept, *taken_out]
        self.events[new_id] = Event(
            new_id,
            event.project_id,
            event.currency,
            event.date,
            [*verdict.moved, *carried_on],
            on_hold=event.on_hold,
            origin_id=event.event_id,
            root_id=event.root,
        )
        assert event.amount + self.events[new_id].amount == before, "a split loses nothing"
        return new_id

    def _book(self, event: Event, sign: int) -> None:
        for budget_id, amount in [(None, event.amount), *event.on_budgets().items()]:
            key = (event.project_id, budget_id, event.currency)
            self.totals[key] = self.totals.get(key, 0) + sign * amount

    def recalculate(self, event_id: str) -> None:
        event = self.events[event_id]
        if event.stage not in UNRELEASED:
            return
        event.items = [
            replace(item, record_version=self.records[item.item_id][0], amount=self.records[item.item_id][1])
            if self._is_late(item)
            else item
            for item in event.items
        ]

    # Jobs

    def accept(self, job_id: str, selection: list[str]) -> None:
        for event_id in selection:
            event = self.events.get(event_id)
            if event is not None and event.stage == "awaiting_release":
                event.stage, event.queued_by = "queued", job_id
        self.jobs.append(Job(job_id, selection))

    def awaiting(self, project_id: str) -> list[str]:
        """What a filter by project finds, in the order of a job."""
        found = [
            event
            for event in self.events.values()
            if event.stage == "awaiting_release" and event.project_id == project_id
        ]
        return [event.event_id for event in sorted(found, key=lambda each: (each.date, each.event_id))]

    def work_jobs(self) -> dict[str, tuple[str, ...]]:
        """One step of the job that has waited longest; gives the codes of what it refused."""
        if not self.jobs:
            return {}
        job = self.jobs.pop(0)
        refused: dict[str, tuple[str, ...]] = {}
        if not job.started:
            job.started = True
            if job.selection:
                self.jobs.append(job)
            return refused
        refused, _ = self.decide_chunk(job.selection[job.done : job.done + CHUNK_SIZE], job.job_id)
        job.done += CHUNK_SIZE
        if job.done < len(job.selection):
            self.jobs.append(job)
        return refused

    def decide_chunk(
        self, chunk: list[str], job_id: str | None
    ) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
        """Decide a chunk, all or nothing: the codes of what is refused, and the new events by their origin."""
        trial = copy.deepcopy(self)
        refused: dict[str, tuple[str, ...]] = {}
        made: dict[str, str] = {}
        for event_id in chunk:
            verdict = trial.verdict(event_id, in_job=True, split=False, job_id=job_id)
            if verdict.codes:
                refused[event_id] = verdict.codes
            elif new_id := trial.apply(event_id, verdict):
                made[event_id] = new_id
        if not refused:
            self.events, self.totals = trial.events, trial.totals
            return {}, made
        for event_id in chunk:
            refused.setdefault(event_id, ("batch_failed",))
            event = self.events.get(event_id)
            if event is not None and event.stage == "queued" and event.queued_by == job_id:
                event.stage, event.queued_by = "awaiting_release", None
        return refused, {}

    def dry_run(self, selection: list[str]) -> list[tuple[str, tuple[str, ...], str | None]]:
        """What a job would do, chunk after chunk, from here: each event with its codes and its new event."""
        trial = copy.deepcopy(self)
        told = []
        for start in range(0, len(selection), CHUNK_SIZE):
            chunk = selection[start : start + CHUNK_SIZE]
            refused, made = trial.decide_chunk(chunk, "dry")
            told += [(event_id, refused.get(event_id, ()), made.get(event_id)) for event_id in chunk]
        return told

    # Reverts

    def made_by_splits(self, event_id: str) -> list[Event]:
        found, descent = [], {event_id}
        for event in self.events.values():
            if event.origin_id in descent:
                descent.add(event.event_id)
                found.append(event)
        return found

    def revert(self, event_id: str, *, cascade: bool) -> tuple[str, ...]:
        """Begin a revert; gives the codes against it."""
        event = self.events[event_id]
        if event.stage not in REVERTIBLE:
            return ("not_released" if event.stage in UNRELEASED else event.stage,)
        made = [each for each in self.made_by_splits(event_id) if each.stage not in {"reverted", "deleted"}]
        made = made if cascade else []
        if any(each.stage == "reverting" for each in made):
            return tuple("reverting" for each in made if each.stage == "reverting")
        reverting = [event, *(each for each in made if each.stage in REVERTIBLE)]
        if codes := self._refused_by_caps(reverting):
            return codes
        for each in reverting:
            each.before_revert, each.stage = each.stage, "reverting"
        for each in made:
            if each.stage in UNRELEASED:
                _, was_on_hold = self.deletions.get(each.event_id, ("", each.on_hold))
                self.deletions[each.event_id] = (event_id, was_on_hold)
                each.on_hold = True
        return ()

    def _refused_by_caps(self, reverting: list[Event]) -> tuple[str, ...]:
        project = self.projects[reverting[0].project_id]
        if reverting[0].currency != "GBP":
            return ()
        taken = -sum(each.amount for each in reverting)
        remaining = project.bookings - self.taken(project.project_id, None)
        codes = ["cap_exceeded"] * (project.enforced and taken > 0 and taken > remaining)
        budgets: dict[str, int] = {}
        for each in reverting:
            for budget_id, amount in each.on_budgets().items():
                budgets[budget_id] = budgets.get(budget_id, 0) - amount
        over = [
            budget_id
            for budget_id, asked in budgets.items()
            if project.budgets[budget_id][1]
            and asked > 0
            and self.taken(project.project_id, budget_id) + asked > project.budgets[budget_id][0] + TOLERANCE
        ]
        return (*codes, *(["budget_cap_exceeded"] * bool(over)))

    def withdrawn(self, event_id: str) -> None:
        event = self.events[event_id]
        self._book(event, -1)
        event.stage = "reverted"
        for each, _ in self._taken_deletions(event_id):
            if each.stage in UNRELEASED:
                each.stage, each.queued_by = "deleted", None

    def withdraw_refused(self, event_id: str) -> None:
        event = self.events[event_id]
        assert event.before_revert is not None
        event.stage = event.before_revert
        for each, was_on_hold in self._taken_deletions(event_id):
            if each.on_hold and not was_on_hold and each.stage in UNRELEASED:
                each.on_hold = False

    def _taken_deletions(self, event_id: str) -> list[tuple[Event, bool]]:
        taken = [(each, held) for each, (by, held) in self.deletions.items() if by == event_id]
        for each, _ in taken:
            del self.deletions[each]
        return [(self.events[each], held) for each, held in taken]
