"""Accounts and companies, as PSA tells of them."""

from collections.abc import Sequence
from typing import Final

from accounting_connector.domain.companies import Address, Party
from accounting_connector.handlers.auto_pass import SETTLE_SECONDS
from accounting_connector.store import auto_pass_due, parties
from accounting_connector.store.parties import ToldParty
from shared.contracts.base import Address as ToldAddress
from shared.contracts.psa import AccountUpserted, CompanyUpserted
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.messaging.message import Message

HANDLED: Final = frozenset({"psa.account.upserted.v1", "psa.company.upserted.v1"})


async def handle_reference(work: UnitOfWork, messages: Sequence[Message]) -> None:
    """Store the newest version of each account and company; what waits for one of them is looked at again."""
    accounts: dict[str, ToldParty] = {}
    companies: dict[str, ToldParty] = {}
    causes: dict[str, Cause] = {}
    for message in messages:
        told = _told(message.body)
        known = accounts if isinstance(message.body, AccountUpserted) else companies
        if told.party.id not in known or known[told.party.id].version < told.version:
            known[told.party.id] = told
        causes[told.party.id] = message.cause
    if accounts:
        await parties.upsert_accounts(work.connection, list(accounts.values()))
    if companies:
        await parties.upsert_companies(work.connection, list(companies.values()))
    await auto_pass_due.parties_arrived(
        work.connection,
        accounts={account_id: causes[account_id] for account_id in accounts},
        companies={company_id: causes[company_id] for company_id in companies},
        settle_seconds=SETTLE_SECONDS,
    )


def _told(body: AccountUpserted | CompanyUpserted) -> ToldParty:
    if isinstance(body, AccountUpserted):
        account = Party(
            body.account_id, body.name, body.tax_id, _address(body.address), is_private=body.private
        )
        return ToldParty(account, body.version)
    address = _address(body.address, country=body.country)
    company = Party(body.company_id, body.name, body.tax_id, address, body.tax_registration)
    return ToldParty(company, body.version)


def _address(told: ToldAddress, *, country: str | None = None) -> Address:
    return Address(
        line1=told.line1,
        line2=told.line2,
        city=told.city,
        region=told.region,
        postcode=told.postcode,
        country=told.country or country,
    )
