"""What PSA sends before any billing event: a company, accounts, projects with their caps, business records.

Amounts are whole numbers of the currency's smallest unit: the tests' own arithmetic, shared with no service.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from support.load.records import Record, cloud_event

DIGITS: Final = {"GBP": 2, "KWD": 3}
RECORDS_PER_PROJECT: Final = 4
TAX_PERCENT: Final = 20
UNREACHED_BOOKINGS: Final = 10**12
THRESHOLD_PERCENT: Final = 80


@dataclass(frozen=True, slots=True)
class Project:
    """A project whose cap is enforced; `bookings` in the smallest unit of its currency."""

    project_id: str
    account_id: str
    currency: str = "GBP"
    bookings: int = UNREACHED_BOOKINGS
    alert_recipient: str | None = None

    def record_id(self, place: int) -> str:
        """The id of one of its timecards."""
        return f"{self.project_id}-T{place % RECORDS_PER_PROJECT}"


def written(amount: int, currency: str) -> str:
    """The amount as the contract writes it: a decimal string with the currency's digits."""
    digits = DIGITS[currency]
    whole, part = divmod(abs(amount), 10**digits)
    return f"{'-' if amount < 0 else ''}{whole}.{part:0{digits}}"


def tax_of(net: int) -> int:
    """The tax on a document whose lines all have the standard rate, rounded half-up once."""
    return (net * TAX_PERCENT * 2 + 100) // 200


def company_id(code: str) -> str:
    """The id of the world's company."""
    return f"{code}-C"


def account_id(code: str, number: int) -> str:
    """The id of an account."""
    return f"{code}-A{number}"


def company_settings() -> dict[str, Any]:
    """What the company sets: standard tax on everything."""
    return {
        "tax_rules": [{"services_product": None, "country": None, "category": "S", "rate": str(TAX_PERCENT)}]
    }


def sources(code: str, accounts: int, projects: list[Project]) -> Iterator[Record]:
    """Everything that billing events refer to, in the order in which it is sent."""
    company = {
        "company_id": company_id(code),
        "version": 1,
        "name": "Survey Ltd",
        "country": "GB",
        "tax_id": "GB987654321",
        "address": {"line1": "2 Mill Lane", "city": "Leeds", "postcode": "LS1 1AA", "country": "GB"},
        "accounting_currencies": list(DIGITS),
    }
    yield _source("psa.companies", "company", company_id(code), company)
    for number in range(accounts):
        account = {
            "account_id": account_id(code, number),
            "version": 1,
            "name": f"Port Authority {number}",
            "address": {"line1": "1 Quay", "city": "Hull", "postcode": "HU1 1AA", "country": "GB"},
            "tax_id": "GB123456789",
        }
        yield _source("psa.accounts", "account", account_id(code, number), account)
    for project in projects:
        yield from _project(code, project)


def _project(code: str, project: Project) -> Iterator[Record]:
    project_id = project.project_id
    body = {
        "project_id": project_id,
        "version": 1,
        "name": f"Survey {project_id}",
        "account_id": project.account_id,
        "company_id": company_id(code),
        "currency": project.currency,
        "engagement": f"ENG-{project_id}",
        "services_product": "Consulting",
        "bookings": written(project.bookings, project.currency),
        "apply_billing_cap": True,
        "auto_cap_billing": True,
        "alert_threshold": str(THRESHOLD_PERCENT),
        "alert_recipient": project.alert_recipient,
    }
    yield _source("psa.projects", "project", project_id, body)
    for place in range(RECORDS_PER_PROJECT):
        record = {
            "record_id": project.record_id(place),
            "version": 1,
            "kind": "timecard",
            "project_id": project_id,
            "name": "Week 46",
            "description": "Survey day",
            "amount": "1000000000",  # several events bill a record, each a part of it
        }
        yield _source("psa.business-records", "business-record", project.record_id(place), record)


def _source(topic: str, kind: str, key: str, body: dict[str, Any]) -> Record:
    return cloud_event(topic, key, f"psa.{kind}.upserted.v1", f"{kind}:{key}:1", body)
