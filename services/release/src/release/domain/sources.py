"""What a billing event is completed from: its project, companies and business records (domain.md section 1)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, Self

from release.domain.events import RecordKey


class CompanySource(StrEnum):
    """The setting `company_source`: what of the project names the company."""

    PROJECT = "project"
    REGION = "region"
    PRACTICE = "practice"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Project:
    """The parts of a project that events are completed from."""

    project_id: str
    account_id: str | None
    company_id: str | None
    region: str | None
    practice: str | None
    group: str | None
    services_product: str | None
    budget_ids: frozenset[str]

    def place(self, company_source: CompanySource) -> str | None:
        """The project's region, practice or group; for `project` the id of the company that it names itself."""
        return {
            CompanySource.PROJECT: self.company_id,
            CompanySource.REGION: self.region,
            CompanySource.PRACTICE: self.practice,
            CompanySource.GROUP: self.group,
        }[company_source]


@dataclass(frozen=True, slots=True)
class Company:
    """A company of ours: its accounting currencies, and where it applies."""

    company_id: str
    accounting_currencies: frozenset[str]
    regions: frozenset[str]
    practices: frozenset[str]
    groups: frozenset[str]

    def places(self, company_source: CompanySource) -> frozenset[str]:
        """The regions, practices or groups where the company applies; for `project` its own id."""
        return {
            CompanySource.PROJECT: frozenset({self.company_id}),
            CompanySource.REGION: self.regions,
            CompanySource.PRACTICE: self.practices,
            CompanySource.GROUP: self.groups,
        }[company_source]


@dataclass(frozen=True, slots=True)
class BusinessRecord:
    """A timecard, expense, expense report, assignment, milestone, miscellaneous adjustment or budget."""

    key: RecordKey
    version: int
    parent: RecordKey | None
    services_product: str | None
    name: str | None
    description: str | None = None
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    amount: Decimal | None = None


class Source(NamedTuple):
    """One thing that an event's completion depends on, or waits for.

    `kind` is `project`, `company`, `region`, `practice`, `group`, `budget`, or a business record's kind; `source_id`
    its id, or the name of the region, practice or group.
    """

    kind: str
    source_id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.source_id}"


class Companies:
    """All known companies, found by id or by where they apply."""

    __slots__ = ("_by_id", "_by_place")

    def __init__(self, by_id: Mapping[str, Company], by_place: Mapping[Source, tuple[str, ...]]) -> None:
        self._by_id = by_id
        self._by_place = by_place

    @classmethod
    def of(cls, companies: Iterable[Company]) -> Self:
        """The lookup over these companies, made once and used for many events."""
        by_id = {company.company_id: company for company in companies}
        by_place: dict[Source, tuple[str, ...]] = {}
        for company in by_id.values():
            for source in (CompanySource.REGION, CompanySource.PRACTICE, CompanySource.GROUP):
                for place in company.places(source):
                    key = Source(source.value, place)
                    by_place[key] = (*by_place.get(key, ()), company.company_id)
        return cls(by_id, by_place)

    def get(self, company_id: str) -> Company | None:
        """The company with this id, if it is known."""
        return self._by_id.get(company_id)

    def only_one_at(self, place: Source) -> str | None:
        """The id of the one company that applies in this region, practice or group; None if none or several do."""
        found = self._by_place.get(place, ())
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class KnownSources:
    """What is known when an event is completed: its project, all companies, and business records by key.

    `other_kinds` as `find_other_kinds` gives it.
    """

    project: Project | None
    companies: Companies
    records: Mapping[RecordKey, BusinessRecord]
    other_kinds: Mapping[RecordKey, BusinessRecord] = field(default_factory=dict)


def find_other_kinds(
    named: Collection[RecordKey], records: Iterable[BusinessRecord]
) -> dict[RecordKey, BusinessRecord]:
    """By the key under which items name a record, that record where it is known to be of another kind.

    An id names one record: where it is known under several kinds, the latest version says what it is, and the kind that
    items name where that is as late.
    """
    wanted = {key.record_id for key in named}
    latest: dict[str, BusinessRecord] = {}
    known: dict[RecordKey, BusinessRecord] = {}
    for record in records:
        known[record.key] = record
        record_id = record.key.record_id
        if record_id in wanted and (
            record_id not in latest
            or (record.version, record.key) > (latest[record_id].version, latest[record_id].key)
        ):
            latest[record_id] = record
    return {
        key: latest[key.record_id]
        for key in named
        if key.record_id in latest
        and (key not in known or known[key].version < latest[key.record_id].version)
    }


def sources_touched_by_company(before: Company | None, after: Company) -> frozenset[Source]:
    """The sources under which events depend on a company that arrived or changed.

    Holds the company's id and every place where the earlier or the later version applies: one that ceases to apply in a
    region may make another the only one there.
    """
    touched = {Source("company", after.company_id)}
    for company in (after,) if before is None else (before, after):
        for source in (CompanySource.REGION, CompanySource.PRACTICE, CompanySource.GROUP):
            touched.update(Source(source.value, place) for place in company.places(source))
    return frozenset(touched)
