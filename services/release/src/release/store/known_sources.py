"""What events are completed from, read for many events at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from release.domain.events import BillingEvent, RecordKey
from release.domain.sources import (
    BusinessRecord,
    Companies,
    Company,
    CompanySource,
    KnownSources,
    Project,
    find_other_kinds,
)
from release.store.conflicts import CONFLICT
from release.store.connection import Connection

_PROJECTS: Final = f"""
select project_id, account_id, company_id, region, practice, "group", services_product, engagement,
  array(select budget_id from budgets where budgets.project_id = project.project_id) as budget_ids,
  {CONFLICT} as conflict
from projects as project where project_id = any($1::text[])
"""  # noqa: S608 - the parts are SQL of ours
_COMPANIES: Final = """
select company_id, accounting_currencies, regions, practices, groups from companies
where company_id = any($1::text[])
  or case $2 when 'region' then regions when 'practice' then practices when 'group' then groups end && $3::text[]
"""
# A chain may be a circle, by mistake: union, which takes each record once, comes to an end all the same. "offset 0"
# keeps the planner from reading all records for a few, as it would while it has no statistics.
_RECORDS: Final = """
with recursive chain as (
  select record.* from unnest($1::text[]) as wanted (record_id)
    cross join lateral (
      select * from business_records as known where known.record_id = wanted.record_id offset 0) as record
  union
  select parent.* from chain
    cross join lateral (
      select * from business_records as known
      where known.kind = chain.parent_kind and known.record_id = chain.parent_record_id offset 0) as parent
)
select kind, record_id, version, parent_kind, parent_record_id, services_product, name, description, quantity,
  unit_price, amount
from chain
"""


@dataclass(frozen=True, slots=True)
class ProjectHead:
    """What a billing event's answers and facts show of its project: engagement, and whether its caps conflict."""

    engagement: str | None = None
    conflict: bool = False


UNKNOWN_PROJECT: Final = ProjectHead()


@dataclass(frozen=True, slots=True)
class Sources:
    """Projects, companies and business records, as far as some events need them."""

    projects: Mapping[str, Project]
    heads: Mapping[str, ProjectHead]
    companies: Companies
    records: Mapping[RecordKey, BusinessRecord]
    other_kinds: Mapping[RecordKey, BusinessRecord]

    def known_for(self, event: BillingEvent) -> KnownSources:
        """What is known for the completion of one of these events."""
        return KnownSources(
            self.projects.get(event.project_id), self.companies, self.records, self.other_kinds
        )

    def head_of(self, project_id: str) -> ProjectHead:
        """What is shown of the project; empty while it is not known."""
        return self.heads.get(project_id, UNKNOWN_PROJECT)


async def load_sources(
    connection: Connection, events: Sequence[BillingEvent], company_source: CompanySource
) -> Sources:
    """Read what these events are completed from, in three statements, without locking."""
    rows = await connection.fetch(_PROJECTS, sorted({event.project_id for event in events}))
    projects = {row["project_id"]: _project_of(row) for row in rows}
    heads = {row["project_id"]: ProjectHead(row["engagement"], row["conflict"]) for row in rows}
    companies = await _load_companies(connection, events, projects.values(), company_source)
    named = {key for event in events for item in event.items if (key := item.record_key) is not None}
    records = await load_records(connection, named)
    other_kinds = find_other_kinds(named, records.values())
    return Sources(projects, heads, Companies.of(companies), records, other_kinds)


async def _load_companies(
    connection: Connection,
    events: Sequence[BillingEvent],
    projects: Iterable[Project],
    company_source: CompanySource,
) -> list[Company]:
    places = {place for project in projects if (place := project.place(company_source)) is not None}
    ids = {event.company_id for event in events if event.company_id is not None}
    if company_source is CompanySource.PROJECT:
        ids |= places
    rows = await connection.fetch(_COMPANIES, sorted(ids), company_source.value, sorted(places))
    return [
        Company(
            company_id=row["company_id"],
            accounting_currencies=frozenset(row["accounting_currencies"]),
            regions=frozenset(row["regions"]),
            practices=frozenset(row["practices"]),
            groups=frozenset(row["groups"]),
        )
        for row in rows
    ]


async def load_records(
    connection: Connection, keys: Iterable[RecordKey | None]
) -> dict[RecordKey, BusinessRecord]:
    """The business records with the ids of these keys, of whatever kind, and their parents and parents' parents, as far
    as they are known.
    """
    wanted = sorted({key.record_id for key in keys if key is not None})
    if not wanted:
        return {}
    rows = await connection.fetch(_RECORDS, wanted)
    return {record.key: record for record in map(_record_of, rows)}


def _project_of(row: Any) -> Project:
    return Project(
        project_id=row["project_id"],
        account_id=row["account_id"],
        company_id=row["company_id"],
        region=row["region"],
        practice=row["practice"],
        group=row["group"],
        services_product=row["services_product"],
        budget_ids=frozenset(row["budget_ids"]),
    )


def _record_of(row: Any) -> BusinessRecord:
    parent_kind = row["parent_kind"]
    return BusinessRecord(
        key=RecordKey(row["kind"], row["record_id"]),
        version=row["version"],
        parent=RecordKey(parent_kind, row["parent_record_id"]) if parent_kind is not None else None,
        services_product=row["services_product"],
        name=row["name"],
        description=row["description"],
        quantity=row["quantity"],
        unit_price=row["unit_price"],
        amount=row["amount"],
    )
