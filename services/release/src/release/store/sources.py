"""What PSA says beside billing events, kept in its newest version; older and equal versions are ignored.

Each upsert takes many at once, locks the rows in the order of their ids, and returns what was new.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, TypeVar

from release.domain.events import RecordKey
from release.domain.sources import Company
from release.store.connection import Connection
from shared.contracts.psa import (
    AccountUpserted,
    BusinessRecordUpserted,
    CompanyUpserted,
    ExchangeRateUpserted,
    ProjectUpserted,
)

_PROJECTS: Final = """
insert into projects as known (project_id, version, name, account_id, company_id, region, practice, "group", currency,
  engagement, services_product, bookings, apply_billing_cap, auto_cap_billing, alert_threshold, alert_recipient,
  bill_to_budget_cap, on_hold)
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
  $9::text[], $10::text[], $11::text[], $12::numeric[], $13::boolean[], $14::boolean[], $15::numeric[], $16::text[],
  $17::boolean[], $18::boolean[])
order by 1
on conflict (project_id) do update set
  version = excluded.version, name = excluded.name, account_id = excluded.account_id,
  company_id = excluded.company_id, region = excluded.region, practice = excluded.practice,
  "group" = excluded."group", currency = excluded.currency, engagement = excluded.engagement,
  services_product = excluded.services_product, bookings = excluded.bookings,
  apply_billing_cap = excluded.apply_billing_cap, auto_cap_billing = excluded.auto_cap_billing,
  alert_threshold = excluded.alert_threshold, alert_recipient = excluded.alert_recipient,
  bill_to_budget_cap = excluded.bill_to_budget_cap, on_hold = excluded.on_hold, received_at = now()
  where known.version < excluded.version
returning project_id
"""
_FORGET_BUDGETS: Final = "delete from budgets where project_id = any($1::text[])"
_BUDGETS: Final = """
insert into budgets (project_id, budget_id, name, kind, amount, customer_reference, apply_billing_cap)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::text[], $7::boolean[])
"""
_ACCOUNTS: Final = """
insert into accounts as known (account_id, version, name, cap_tolerance_amount, cap_tolerance_currency)
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::numeric[], $5::text[])
order by 1
on conflict (account_id) do update set
  version = excluded.version, name = excluded.name, cap_tolerance_amount = excluded.cap_tolerance_amount,
  cap_tolerance_currency = excluded.cap_tolerance_currency
  where known.version < excluded.version
"""
_LOCK_COMPANIES: Final = """
select company_id, accounting_currencies, regions, practices, groups from companies
where company_id = any($1::text[]) order by company_id for no key update
"""
_COMPANIES: Final = """
insert into companies as known (company_id, version, name, accounting_currencies, regions, practices, groups)
select company_id, version, name,
  array(select jsonb_array_elements_text(lists->0)), array(select jsonb_array_elements_text(lists->1)),
  array(select jsonb_array_elements_text(lists->2)), array(select jsonb_array_elements_text(lists->3))
from unnest($1::text[], $2::bigint[], $3::text[]) with ordinality as given (company_id, version, name, place)
  join jsonb_array_elements($4::jsonb) with ordinality as lists_given (lists, place) using (place)
order by company_id
on conflict (company_id) do update set
  version = excluded.version, name = excluded.name, accounting_currencies = excluded.accounting_currencies,
  regions = excluded.regions, practices = excluded.practices, groups = excluded.groups
  where known.version < excluded.version
returning company_id, accounting_currencies, regions, practices, groups
"""
_EXCHANGE_RATES: Final = """
insert into exchange_rates as known (from_currency, to_currency, version, rate)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::numeric[])
order by 1, 2
on conflict (from_currency, to_currency) do update set version = excluded.version, rate = excluded.rate
  where known.version < excluded.version
"""
_BUSINESS_RECORDS: Final = """
insert into business_records as known (kind, record_id, version, parent_kind, parent_record_id, project_id,
  services_product, name, description, quantity, unit_price, amount)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
  $9::text[], $10::numeric[], $11::numeric[], $12::numeric[])
order by 1, 2
on conflict (kind, record_id) do update set
  version = excluded.version, parent_kind = excluded.parent_kind, parent_record_id = excluded.parent_record_id,
  project_id = excluded.project_id, services_product = excluded.services_product, name = excluded.name,
  description = excluded.description, quantity = excluded.quantity, unit_price = excluded.unit_price,
  amount = excluded.amount
  where known.version < excluded.version
returning kind, record_id
"""

Upsert = TypeVar(
    "Upsert", ProjectUpserted, AccountUpserted, CompanyUpserted, ExchangeRateUpserted, BusinessRecordUpserted
)


def _newest(bodies: Iterable[Upsert], key: Callable[[Upsert], Hashable]) -> list[Upsert]:
    """Of several versions of one thing, the highest; of equal ones, the first."""
    newest: dict[Hashable, Upsert] = {}
    for body in bodies:
        known = newest.setdefault(key(body), body)
        if body.version > known.version:
            newest[key(body)] = body
    return list(newest.values())


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def upsert_projects(connection: Connection, bodies: Sequence[ProjectUpserted]) -> list[ProjectUpserted]:
    """Keep projects, each with its budgets in the place of those it had; those that were newer."""
    projects = _newest(bodies, lambda body: body.project_id)
    if not projects:
        return []
    rows = await connection.fetch(
        _PROJECTS,
        *_columns(
            (
                body.project_id,
                body.version,
                body.name,
                body.account_id,
                body.company_id,
                body.region,
                body.practice,
                body.group,
                body.currency,
                body.engagement,
                body.services_product,
                body.bookings,
                body.apply_billing_cap,
                body.auto_cap_billing,
                body.alert_threshold,
                body.alert_recipient,
                body.bill_to_budget_cap,
                body.on_hold,
            )
            for body in projects
        ),
    )
    newer_ids = {row["project_id"] for row in rows}
    newer = [body for body in projects if body.project_id in newer_ids]
    await _replace_budgets(connection, newer)
    return newer


async def _replace_budgets(connection: Connection, projects: Sequence[ProjectUpserted]) -> None:
    await connection.execute(_FORGET_BUDGETS, [body.project_id for body in projects])
    rows = [
        (
            body.project_id,
            budget.budget_id,
            budget.name,
            budget.kind,
            budget.amount,
            budget.customer_reference,
            budget.apply_billing_cap,
        )
        for body in projects
        for budget in body.budgets
    ]
    if rows:
        await connection.execute(_BUDGETS, *_columns(rows))


async def upsert_accounts(connection: Connection, bodies: Sequence[AccountUpserted]) -> None:
    """Keep the tolerances of customer accounts."""
    accounts = _newest(bodies, lambda body: body.account_id)
    if not accounts:
        return
    rows = [
        (
            body.account_id,
            body.version,
            body.name,
            body.cap_tolerance.amount if body.cap_tolerance is not None else None,
            body.cap_tolerance.currency if body.cap_tolerance is not None else None,
        )
        for body in accounts
    ]
    await connection.execute(_ACCOUNTS, *_columns(rows))


async def upsert_companies(
    connection: Connection, bodies: Sequence[CompanyUpserted]
) -> list[tuple[Company | None, Company]]:
    """Keep companies; those that were newer, each as it was before (None: not known) and as it is now."""
    companies = _newest(bodies, lambda body: body.company_id)
    if not companies:
        return []
    ids = [body.company_id for body in companies]
    before = {row["company_id"]: _company_of(row) for row in await connection.fetch(_LOCK_COMPANIES, ids)}
    newer = await connection.fetch(
        _COMPANIES,
        ids,
        [body.version for body in companies],
        [body.name for body in companies],
        [[body.accounting_currencies, body.regions, body.practices, body.groups] for body in companies],
    )
    return [(before.get(row["company_id"]), _company_of(row)) for row in newer]


def _company_of(row: Any) -> Company:
    return Company(
        company_id=row["company_id"],
        accounting_currencies=frozenset(row["accounting_currencies"]),
        regions=frozenset(row["regions"]),
        practices=frozenset(row["practices"]),
        groups=frozenset(row["groups"]),
    )


async def upsert_exchange_rates(connection: Connection, bodies: Sequence[ExchangeRateUpserted]) -> None:
    """Keep exchange rates, which tolerances are converted at."""
    rates = _newest(bodies, lambda body: (body.from_currency, body.to_currency))
    if rates:
        rows = [(body.from_currency, body.to_currency, body.version, body.rate) for body in rates]
        await connection.execute(_EXCHANGE_RATES, *_columns(rows))


async def upsert_business_records(
    connection: Connection, bodies: Sequence[BusinessRecordUpserted]
) -> list[RecordKey]:
    """Keep business records; the keys of those that were newer."""
    records = _newest(bodies, lambda body: RecordKey(body.kind, body.record_id))
    if not records:
        return []
    rows = [
        (
            body.kind,
            body.record_id,
            body.version,
            body.parent.kind if body.parent is not None else None,
            body.parent.record_id if body.parent is not None else None,
            body.project_id,
            body.services_product,
            body.name,
            body.description or None,
            body.quantity,
            body.unit_price,
            body.amount,
        )
        for body in records
    ]
    newer = await connection.fetch(_BUSINESS_RECORDS, *_columns(rows))
    return [RecordKey(row["kind"], row["record_id"]) for row in newer]
