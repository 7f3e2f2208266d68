"""The companies, accounts and projects of the sample: whose prefix is the seed's, so that samples never meet."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sluice.demo.arithmetic import written
from sluice.demo.kafka import Outgoing


@dataclass(frozen=True, slots=True)
class Company:
    """Who bills. `tax` is the rate for customers in its own country, None for a company without a tax id."""

    company_id: str
    name: str
    country: str
    currencies: tuple[str, ...]
    tax_rate: Decimal | None
    item_criteria: tuple[str, ...] = ()

    def tax_of(self, country: str, services_product: str) -> tuple[str, Decimal]:
        """Category and rate of a line (domain.md section 4): of the rules that `tax_rules` sets."""
        if self.tax_rate is None:
            return "O", Decimal(0)
        if services_product == TAX_FREE_PRODUCT or country != self.country:
            return "Z", Decimal(0)
        return "S", self.tax_rate

    def tax_rules(self) -> list[dict[str, Any]]:
        """The rules for `PUT /companies/{id}/settings`; a customer abroad is zero rated."""
        if self.tax_rate is None:
            return []
        own = {"country": self.country, "reason": None}
        return [
            {**own, "services_product": None, "category": "S", "rate": str(self.tax_rate)},
            {**own, "services_product": TAX_FREE_PRODUCT, "category": "Z", "rate": "0"},
            {"country": None, "reason": None, "services_product": None, "category": "Z", "rate": "0"},
        ]

    def message(self) -> Outgoing:
        """`psa.company.upserted.v1`."""
        body = {
            "company_id": self.company_id,
            "version": 1,
            "name": self.name,
            "country": self.country,
            "tax_id": None if self.tax_rate is None else f"{self.country}987654321",
            "address": {"line1": "2 Mill Lane", "city": "Harbourton", "country": self.country},
            "accounting_currencies": list(self.currencies),
        }
        return upserted("psa.companies", "company", self.company_id, body)


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays; `cap_tolerance` is what its projects' capped budgets may be passed by, in pounds."""

    account_id: str
    name: str
    country: str
    cap_tolerance: Decimal | None = None

    def message(self) -> Outgoing:
        """`psa.account.upserted.v1`."""
        body = {
            "account_id": self.account_id,
            "version": 1,
            "name": self.name,
            "billing_email": "accounts.payable@example.com",
            "billing_cycle_id": "MONTHLY",
            "address": {"line1": "1 Quay", "city": "Harbourton", "country": self.country},
            "cap_tolerance": None
            if self.cap_tolerance is None
            else {"amount": written(self.cap_tolerance, "GBP"), "currency": "GBP"},
        }
        return upserted("psa.accounts", "account", self.account_id, body)


@dataclass(frozen=True, slots=True)
class Budget:
    """A capped budget of a project, in the project's currency."""

    budget_id: str
    amount: Decimal

    def body(self, currency: str) -> dict[str, Any]:
        """The budget in `psa.project.upserted.v1`."""
        return {
            "budget_id": self.budget_id,
            "name": f"PO {self.budget_id}",
            "kind": "customer_purchase_order",
            "amount": written(self.amount, currency),
            "apply_billing_cap": True,
        }


@dataclass(frozen=True, slots=True)
class Project:
    """What is worked for. Without a company its events cannot be released; with bookings it is tracked."""

    project_id: str
    name: str
    account: Account
    company: Company | None
    currency: str
    services_product: str
    bookings: Decimal | None = None
    is_enforced: bool = False
    alert_threshold: str | None = None
    alert_recipient: str | None = None
    budgets: tuple[Budget, ...] = ()

    def message(self) -> Outgoing:
        """`psa.project.upserted.v1`."""
        body = {
            "project_id": self.project_id,
            "version": 1,
            "name": self.name,
            "account_id": self.account.account_id,
            "company_id": None if self.company is None else self.company.company_id,
            "currency": self.currency,
            "engagement": f"{self.project_id}-E",
            "services_product": self.services_product,
            "bookings": None if self.bookings is None else written(self.bookings, self.currency),
            "apply_billing_cap": self.bookings is not None,
            "auto_cap_billing": self.is_enforced,
            "alert_threshold": self.alert_threshold,
            "alert_recipient": self.alert_recipient,
            "budgets": [budget.body(self.currency) for budget in self.budgets],
        }
        return upserted("psa.projects", "project", self.project_id, body)


@dataclass(frozen=True, slots=True)
class World:
    """All of them; projects by the part that they play."""

    code: str
    companies: tuple[Company, ...]
    accounts: tuple[Account, ...]
    projects: dict[str, Project]


TAX_FREE_PRODUCT = "Travel"
WARRANTY = "warranty work"
ITEM_CRITERION = f'description != "{WARRANTY}"'
"""What items have to meet to be on a document of the British company."""
CAPPED_BOOKINGS = Decimal("10000.00")
TRACKED_BOOKINGS = Decimal("1000.00")
BUDGET_AMOUNT = Decimal("1000.00")
BUDGET_TOLERANCE = Decimal("0.99")
ALERT_RECIPIENT = "quay.manager@example.com"


def make_world(code: str) -> World:
    """The sample's world; every id begins with the code."""
    british = Company(f"{code}-C-UK", "Survey Ltd", "GB", ("GBP", "EUR"), Decimal(20), (ITEM_CRITERION,))
    french = Company(f"{code}-C-FR", "Arpenteurs réunis SARL", "FR", ("EUR",), Decimal("5.5"))
    japanese = Company(f"{code}-C-JP", "日本測量株式会社", "JP", ("JPY",), Decimal(10))
    kuwaiti = Company(f"{code}-C-KW", "Gulf Survey W.L.L.", "KW", ("KWD",), None)
    port = Account(f"{code}-A-PORT", "Port Authority & Sons <Hull>", "GB", cap_tolerance=BUDGET_TOLERANCE)
    coast = Account(f"{code}-A-COAST", "Région Côte d'Émeraude", "FR")
    bridge = Account(f"{code}-A-BRIDGE", "海峡大橋公社", "JP")
    gulf = Account(f"{code}-A-GULF", "Gulf Harbours", "KW")
    rail = Account(f"{code}-A-RAIL", "Northern Rail", "IE")

    def project(part: str, account: Account, company: Company | None, currency: str, **more: Any) -> Project:
        project_id = f"{code}-P-{part.upper()}"
        return Project(
            project_id, f"{part.capitalize()} survey", account, company, currency, "Consulting", **more
        )

    projects = {
        "yard": project("yard", port, british, "GBP"),
        "coast": project("coast", coast, french, "EUR"),
        "bridge": project("bridge", bridge, japanese, "JPY"),
        "gulf": project("gulf", gulf, kuwaiti, "KWD"),
        "rail": project("rail", rail, british, "GBP"),
        "capped": project("harbour", port, british, "GBP", bookings=CAPPED_BOOKINGS, is_enforced=True),
        "tracked": project(
            "quay",
            port,
            british,
            "GBP",
            bookings=TRACKED_BOOKINGS,
            alert_threshold="80",
            alert_recipient=ALERT_RECIPIENT,
        ),
        "budgeted": project("dock", port, british, "GBP", budgets=(Budget(f"{code}-B-DOCK", BUDGET_AMOUNT),)),
        "late": project("late", coast, british, "EUR"),
        "companyless": project("orphan", port, None, "GBP"),
    }
    return World(code, (british, french, japanese, kuwaiti), (port, coast, bridge, gulf, rail), projects)


def upserted(topic: str, kind: str, key: str, body: dict[str, Any]) -> Outgoing:
    """A `psa.*` message of this version of a thing."""
    return Outgoing(topic, key, f"psa.{kind}.upserted.v1", f"{key}:{kind}:{body['version']}", body)
