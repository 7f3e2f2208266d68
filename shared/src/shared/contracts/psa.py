"""What PSA sends: bodies of the `psa.*` topics (contract.md section 1).

Required are ids, versions, currencies, dates and what an item cannot do without; all else may be absent,
null or an empty text, which all mean "not given". Fields that are not known here are ignored.
"""

import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import (
    ITEMS_MAX,
    Address,
    CountryCode,
    CurrencyCode,
    Date,
    Description,
    Email,
    Emails,
    Id,
    Instant,
    Name,
    PsaVersion,
    Reader,
    check_not_ended,
    check_unique,
    to_minor_units,
    to_minor_units_in_list,
)
from shared.contracts.custom_fields import CustomFields
from shared.contracts.decimals import (
    Amount,
    AmountNotNegative,
    ExchangeRate,
    Percentage,
    Quantity,
    UnitPrice,
)
from shared.money import ZERO

BUDGETS_MAX = 1_000
LIST_MAX = 1_000

ItemCategory = Literal["timecard", "expense", "milestone", "miscellaneous_adjustment", "budget"]
BusinessRecordKind = Literal[
    "timecard", "expense", "milestone", "miscellaneous_adjustment", "budget", "assignment", "expense_report"
]
Names = Annotated[list[Name], Field(max_length=LIST_MAX)]


class PsaBody(Reader):
    """A tolerant reader: null and empty text mean that the field was not given."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_empty(cls, data: Any) -> Any:
        if type(data) is dict:
            # Nearly every value is truthy, which is the cheapest to ask; 0 and false are given, and stay.
            return {
                name: value for name, value in data.items() if value or (value is not None and value != "")
            }
        return data


class PsaAddress(PsaBody, Address):
    """A postal address as PSA sends it."""


class Budget(PsaBody):
    """A budget of a project, in the project's currency (domain.md section 3)."""

    budget_id: Id
    name: Name = ""
    kind: Name | None = None
    amount: Amount = ZERO
    customer_reference: Name | None = None
    apply_billing_cap: bool = False


class ProjectUpserted(PsaBody):
    """`psa.project.upserted.v1`: a project with its budgets and cap settings."""

    project_id: Id
    version: PsaVersion
    currency: CurrencyCode
    name: Name = ""
    account_id: Id | None = None
    company_id: Id | None = None
    region: Name | None = None
    practice: Name | None = None
    group: Name | None = None
    engagement: Name | None = None
    services_product: Name | None = None
    bookings: Amount | None = None
    apply_billing_cap: bool = False
    auto_cap_billing: bool = False
    alert_threshold: Percentage | None = None
    alert_recipient: Emails | None = None
    bill_to_budget_cap: bool = False
    on_hold: bool = False
    budgets: list[Budget] = Field(default_factory=list, max_length=BUDGETS_MAX)

    @model_validator(mode="after")
    def _check(self) -> Self:
        to_minor_units(self.currency, self, "bookings")
        to_minor_units_in_list(self.currency, self.budgets, "budgets")
        check_unique([budget.budget_id for budget in self.budgets], "budgets")
        return self


class CapTolerance(PsaBody):
    """How far an account's budgets may be passed (domain.md section 3)."""

    amount: AmountNotNegative
    currency: CurrencyCode

    @model_validator(mode="after")
    def _check(self) -> Self:
        to_minor_units(self.currency, self, "amount")
        return self


class AccountUpserted(PsaBody):
    """`psa.account.upserted.v1`: a customer account; `private`: a private person, whatever its tax id."""

    account_id: Id
    version: PsaVersion
    name: Name = ""
    billing_email: Email | None = None
    billing_cycle_id: Id | None = None
    address: PsaAddress = Field(default_factory=PsaAddress)
    tax_id: Name | None = None
    private: bool = False
    cap_tolerance: CapTolerance | None = None


class CompanyUpserted(PsaBody):
    """`psa.company.upserted.v1`: a company of the organisation, and where it applies.

    `tax_registration`: its tax number that is no VAT id (BT-32).
    """

    company_id: Id
    version: PsaVersion
    name: Name = ""
    country: CountryCode | None = None
    tax_id: Name | None = None
    tax_registration: Name | None = None
    address: PsaAddress = Field(default_factory=PsaAddress)
    accounting_currencies: list[CurrencyCode] = Field(default_factory=list, max_length=LIST_MAX)
    regions: Names = Field(default_factory=list)
    practices: Names = Field(default_factory=list)
    groups: Names = Field(default_factory=list)


class ExchangeRateUpserted(PsaBody):
    """`psa.exchange-rate.upserted.v1`: one unit of `from` is `rate` units of `to`."""

    from_currency: CurrencyCode = Field(alias="from")
    to_currency: CurrencyCode = Field(alias="to")
    rate: ExchangeRate
    version: PsaVersion


class BusinessRecordParent(PsaBody):
    """The next link of a business record's chain (domain.md section 1)."""

    kind: BusinessRecordKind
    record_id: Id


class BusinessRecordUpserted(PsaBody):
    """`psa.business-record.upserted.v1`: a timecard, expense, assignment, milestone and so on."""

    record_id: Id
    version: PsaVersion
    kind: BusinessRecordKind
    parent: BusinessRecordParent | None = None
    project_id: Id | None = None
    services_product: Name | None = None
    name: Name | None = None
    description: Description = ""
    quantity: Quantity | None = None
    unit_price: UnitPrice | None = None
    amount: Amount | None = None


class GeneratedItem(PsaBody):
    """One line of a billing event as PSA made it."""

    item_id: Id
    created_at: Instant
    category: ItemCategory
    business_record_id: Id
    quantity: Quantity
    unit_price: UnitPrice
    amount: Amount
    business_record_version: PsaVersion | None = None
    date: Date | None = None
    description: Description = ""
    services_product: Name | None = None
    budget_id: Id | None = None
    fields: CustomFields = Field(default_factory=dict)


class BillingEventGenerated(PsaBody):
    """`psa.billing-event.generated.v1`: a billing event, or a later version of it."""

    billing_event_id: Id
    version: PsaVersion
    project_id: Id
    date: Date
    currency: CurrencyCode
    items: list[GeneratedItem] = Field(min_length=1, max_length=ITEMS_MAX)
    batch_id: Id | None = None
    account_id: Id | None = None
    company_id: Id | None = None
    billing_event_currency: CurrencyCode | None = None
    customer_reference: Name | None = None
    auto_pass_to_accounting: bool = False
    corrects_billing_event_id: Id | None = None
    fields: CustomFields = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.corrects_billing_event_id is None:
            self.check_currencies_on(self.date)
        to_minor_units_in_list(self.currency, self.items, "items")
        check_unique([item.item_id for item in self.items], "items")
        return self

    def check_currencies_on(self, day: datetime.date) -> None:
        """Refuse a currency that had ended on this day; one that corrects another event is judged by that one's date.

        Raises ValidationError (domain.md, opening section).
        """
        check_not_ended(day, self, "currency", "billing_event_currency")


class BillingEventDeleted(PsaBody):
    """`psa.billing-event.deleted.v1`: a billing event is withdrawn; kept if it comes before its event."""

    billing_event_id: Id
    version: PsaVersion
    project_id: Id | None = None
