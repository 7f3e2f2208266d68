"""Companies and their accounting settings, and the customer accounts that they bill."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from accounting_connector.domain.mappings import FieldMapping
from accounting_connector.domain.tax import OnTaxRuleMissing, TaxRule


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address; the country is an ISO 3166 code of two letters."""

    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    region: str | None = None
    postcode: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Party:
    """A customer account or a company as a document names it, as it was when the document was made."""

    id: str
    name: str
    tax_id: str | None
    address: Address
    tax_registration: str | None = None
    """A company's tax number that is no VAT id (BT-32)."""
    is_private: bool = False
    """Whether an account is a private person, whatever its tax id."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """An extra criterion (domain.md section 4): an expression, and what decides whether it holds."""

    expression: str
    holds: Callable[[Mapping[str, object]], bool]
    """Gets the fields by name; raises shared.expressions.ExpressionError where it cannot be decided."""


class DateOrder(StrEnum):
    """What becomes of a date before the last one of its series (documents.md section 4)."""

    OFF = "off"
    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class CompanySettings:
    """What a company sets for its documents (contract.md section 2: `PUT /companies/{id}/settings`)."""

    event_criteria: tuple[Criterion, ...] = ()
    item_criteria: tuple[Criterion, ...] = ()
    mappings: tuple[FieldMapping, ...] = ()
    tax_rules: tuple[TaxRule, ...] = ()
    on_tax_rule_missing: OnTaxRuleMissing | None = None
    """None: a company that has rules refuses, one that has none is zero rated (documents.md section 2.3)."""
    date_order: DateOrder | None = None
    """None: `warn`, and `refuse` where the law wants numbers in the order of dates."""
    days_ahead_max: int | None = None
    """How many days after today a document may be dated; None: see `dates.DateRules`."""
    closed_through: date | None = None
    """The last day of its closed periods."""
    auto_pass_field: str | None = None
    documents_elsewhere: bool = False
    payment_days: int | None = None
    """Days from invoice date to due date; None: the deployment's setting."""


@dataclass(frozen=True, slots=True)
class Company:
    """A company with its settings."""

    party: Party
    settings: CompanySettings
