"""Customer accounts, companies and what companies set for their documents."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeVar

import orjson

from accounting_connector.domain.companies import (
    Address,
    Company,
    CompanySettings,
    Criterion,
    DateOrder,
    Party,
)
from accounting_connector.domain.mappings import make_mapping
from accounting_connector.domain.tax import Buyer, OnTaxRuleMissing, Tax, TaxRule
from accounting_connector.store.connection import Connection, Reader
from shared.expressions import ExpressionError, compile_expression

_Read = TypeVar("_Read")

_UPSERT: Final = """
insert into {table} as known ({key}, version, name, tax_id, address, {own})
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::jsonb[], $6::{type}[]) as told ({key})
order by told.{key}
on conflict ({key}) do update set
  version = excluded.version, name = excluded.name, tax_id = excluded.tax_id, address = excluded.address,
  {own} = excluded.{own}
  where known.version < excluded.version
"""
_UPSERT_ACCOUNTS: Final = _UPSERT.format(table="accounts", key="account_id", own="private", type="boolean")
_UPSERT_COMPANIES: Final = _UPSERT.format(
    table="companies", key="company_id", own="tax_registration", type="text"
)
_ACCOUNTS: Final = "select * from accounts where account_id = any($1::text[])"
_ACCOUNTS_NAMED: Final = """
select * from accounts where account_id = any($1::text[]) or name = any($1::text[]) order by account_id
"""
_COMPANIES: Final = """
select company.*, latest.settings, latest.version as settings_version
from companies as company left join lateral (
  select settings, version from company_settings where company_settings.company_id = company.company_id
  order by version desc limit 1
) as latest on true
where company.company_id = any($1::text[])
"""
_SETTINGS: Final = "select settings from company_settings where company_id = $1 and version = $2"
_LOCK_COMPANY: Final = "select true from companies where company_id = $1 for update"
_ADD_SETTINGS: Final = """
insert into company_settings (company_id, version, settings, changed_by)
select $1, coalesce(max(version), 0) + 1, $2, $3 from company_settings where company_id = $1
returning version
"""

DEFAULT_SETTINGS: Final[Mapping[str, Any]] = {
    "mappings": [],
    "event_criteria": [],
    "item_criteria": [],
    "tax_rules": [],
    "on_tax_rule_missing": None,
    "date_order": None,
    "days_ahead_max": None,
    "closed_through": None,
    "schedule": None,
    "auto_pass_field": None,
    "documents_elsewhere": False,
    "additional_recipients": None,
    "payment_days": None,
    "reason": None,
}
"""What holds for a company that has set nothing (contract.md section 2)."""


@dataclass(frozen=True, slots=True)
class ToldParty:
    """An account or a company as PSA tells of it."""

    party: Party
    version: int


@dataclass(frozen=True, slots=True)
class StoredCompany:
    """A company; its settings as they were set, their version (0: none set), and as the domain reads them."""

    company: Company
    settings: Mapping[str, Any]
    settings_version: int

    @property
    def additional_recipients(self) -> tuple[str, ...]:
        """The addresses that are also told of its process runs, as they were written."""
        text = self.settings["additional_recipients"] or ""
        return tuple(filter(None, (part.strip() for part in text.replace(",", ";").split(";"))))


async def upsert_accounts(connection: Connection, accounts: Sequence[ToldParty]) -> None:
    """Store accounts, each once; an older or equal version changes nothing. Locks their rows in order."""
    await connection.execute(
        _UPSERT_ACCOUNTS, *_columns(accounts), [told.party.is_private for told in accounts]
    )


async def upsert_companies(connection: Connection, companies: Sequence[ToldParty]) -> None:
    """The same for companies."""
    await connection.execute(
        _UPSERT_COMPANIES, *_columns(companies), [told.party.tax_registration for told in companies]
    )


async def load_accounts(connection: Reader, account_ids: Iterable[str]) -> dict[str, Party]:
    """The accounts with these ids that are known."""
    ids = list(set(account_ids))
    rows = await connection.fetch(_ACCOUNTS, ids) if ids else []
    return {row["account_id"]: _account(row) for row in rows}


async def find_accounts(connection: Reader, names: Iterable[str]) -> dict[str, list[Party]]:
    """For each of these texts the accounts that have it as their id, or else as their name."""
    asked = list(set(names))
    by_id: dict[str, Party] = {}
    by_name: dict[str, list[Party]] = {}
    for row in await connection.fetch(_ACCOUNTS_NAMED, asked):
        party = _account(row)
        by_id[party.id] = party
        by_name.setdefault(party.name, []).append(party)
    return {text: [by_id[text]] if text in by_id else by_name.get(text, []) for text in asked}


async def load_companies(connection: Reader, company_ids: Iterable[str]) -> dict[str, StoredCompany]:
    """The companies with these ids that are known, with their settings in force."""
    ids = list(set(company_ids))
    rows = await connection.fetch(_COMPANIES, ids) if ids else []
    companies = {}
    for row in rows:
        settings = {**DEFAULT_SETTINGS, **(row["settings"] or {})}
        party = Party(
            row["company_id"], row["name"], row["tax_id"], Address(**row["address"]), row["tax_registration"]
        )
        company = Company(party, company_settings_of(settings))
        companies[row["company_id"]] = StoredCompany(company, settings, row["settings_version"] or 0)
    return companies


async def load_settings(connection: Reader, company_id: str, version: int) -> Mapping[str, Any] | None:
    """What a company set in this version; None where there is none."""
    settings = await connection.fetchval(_SETTINGS, company_id, version)
    return None if settings is None else {**DEFAULT_SETTINGS, **settings}


async def add_settings(
    connection: Connection, company_id: str, settings: Mapping[str, Any], changed_by: Mapping[str, Any]
) -> int | None:
    """Put settings in force and return their version; None for a company that is not known. Locks the company."""
    if not await connection.fetchval(_LOCK_COMPANY, company_id):
        return None
    version: int = await connection.fetchval(_ADD_SETTINGS, company_id, settings, changed_by)
    return version


def company_settings_of(settings: Mapping[str, Any]) -> CompanySettings:
    """The settings as the domain reads them.

    Raises accounting_connector.domain.mappings.MappingError or shared.expressions.ExpressionError for settings that
    cannot be kept.
    """
    return _company_settings(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS))


@lru_cache(maxsize=1024)
def _company_settings(text: bytes) -> CompanySettings:
    settings = orjson.loads(text)
    return CompanySettings(
        event_criteria=tuple(_criterion(expression) for expression in settings["event_criteria"]),
        item_criteria=tuple(_criterion(expression) for expression in settings["item_criteria"]),
        mappings=tuple(make_mapping(**mapping) for mapping in settings["mappings"]),
        tax_rules=tax_rules_of(settings["tax_rules"]),
        on_tax_rule_missing=_given(OnTaxRuleMissing, settings["on_tax_rule_missing"]),
        date_order=_given(DateOrder, settings["date_order"]),
        days_ahead_max=settings["days_ahead_max"],
        closed_through=_given(date.fromisoformat, settings["closed_through"]),
        auto_pass_field=settings["auto_pass_field"],
        documents_elsewhere=settings["documents_elsewhere"],
        payment_days=settings["payment_days"],
    )


def tax_rules_of(rules: Iterable[Mapping[str, Any]]) -> tuple[TaxRule, ...]:
    """Tax rules as they were set, as the domain reads them."""
    return tuple(_tax_rule(rule) for rule in rules)


def _tax_rule(rule: Mapping[str, Any]) -> TaxRule:
    """A rule as it was set; what rules could not say at the time holds for any."""
    return TaxRule(
        rule["services_product"],
        rule["country"],
        Tax(rule["category"], Decimal(rule["rate"]), rule["reason"], rule.get("reason_code")),
        _given(Buyer, rule.get("buyer")),
        _given(date.fromisoformat, rule.get("valid_from")),
        _given(date.fromisoformat, rule.get("valid_to")),
    )


def _given(read: Callable[[str], _Read], text: str | None) -> _Read | None:
    return None if text is None else read(text)


def _criterion(expression: str) -> Criterion:
    """The criterion; one that cannot be read any more cannot be decided, which is each event's matter."""
    try:
        return Criterion(expression, compile_expression(expression).evaluate)
    except ExpressionError as error:
        problem = str(error)

    def undecided(fields: Mapping[str, object]) -> bool:
        raise ExpressionError(problem)

    return Criterion(expression, undecided)


def _columns(parties: Sequence[ToldParty]) -> tuple[list[Any], ...]:
    return (
        [told.party.id for told in parties],
        [told.version for told in parties],
        [told.party.name for told in parties],
        [told.party.tax_id for told in parties],
        [address_body(told.party.address) for told in parties],
    )


def address_body(address: Address) -> dict[str, str | None]:
    """An address as JSON has it."""
    return {
        "line1": address.line1,
        "line2": address.line2,
        "city": address.city,
        "region": address.region,
        "postcode": address.postcode,
        "country": address.country,
    }


def party_body(party: Party) -> dict[str, Any]:
    """An account or a company as a document names it (contract.md section 1)."""
    address = address_body(party.address)
    return {
        "id": party.id,
        "name": party.name,
        "tax_id": party.tax_id,
        "address": address,
        "tax_registration": party.tax_registration,
        "private": party.is_private,
    }


def party_of(body: Mapping[str, Any]) -> Party:
    """The party that `party_body` gave."""
    return Party(
        body["id"],
        body["name"],
        body["tax_id"],
        Address(**body["address"]),
        body.get("tax_registration"),
        body.get("private", False),
    )


def _account(row: Mapping[str, Any]) -> Party:
    return Party(
        row["account_id"],
        row["name"],
        row["tax_id"],
        Address(**row["address"]),
        is_private=row["private"],
    )
