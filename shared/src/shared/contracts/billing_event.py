"""A completed billing event: the shape of `GET /billing-events/{id}`, and more, in facts (contract.md section 2)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import (
    ITEMS_MAX,
    MESSAGE_IDS_MAX,
    Code,
    CurrencyCode,
    Date,
    Description,
    Id,
    Instant,
    Name,
    Reader,
    UserId,
    Version,
    to_minor_units_in_list,
)
from shared.contracts.custom_fields import CustomFields
from shared.contracts.decimals import Amount, Quantity, TotalAmount, UnitPrice
from shared.contracts.psa import ItemCategory

WAITED_FOR_MAX = 3 * ITEMS_MAX + 1
"""The project, and of each item its budget, a record of its chain and its milestone."""

Stage = Literal[
    "incomplete",
    "awaiting_release",
    "queued",
    "released",
    "invoiced",
    "reverting",
    "reverted",
    "closed",
    "deleted",
]


class BillingEventItem(Reader):
    """One line. What a document needs is here: no call back to the release service."""

    item_id: Id
    created_at: Instant
    category: ItemCategory
    quantity: Quantity
    unit_price: UnitPrice
    amount: Amount
    business_record_id: Id | None = None
    business_record_version: Version | None = None
    date: Date | None = None
    description: Description = ""
    accounting_line_description: Description = ""
    services_product: Name | None = None
    services_product_from: Code | None = None
    budget_id: Id | None = None
    released: bool = False
    invoiced: bool = False
    billed: bool = False
    left_out: bool = False
    adjusts_item_id: Id | None = None
    category_mismatch: bool = False
    fields: CustomFields = Field(default_factory=dict)


class WaitedFor(Reader):
    """What an incomplete billing event waits for: a project, a budget, or a business record of this kind."""

    kind: Code
    id: Id


class BillingEvent(Reader):
    """A billing event as the release service has completed it (domain.md section 1).

    `left_out_criteria`: of the items that its document leaves out, by their ids, what they do not meet. `released_by`
    is a user, `queued_by` the release job that the event waits for in stage `queued`. `conflict`: its project is capped
    at both levels, so that nothing above 0 is released (domain.md section 3). `category_mismatch` names the first items
    whose category is not the kind of their business records, so that it is not released.
    """

    billing_event_id: Id
    version: Version
    project_id: Id
    date: Date
    currency: CurrencyCode
    stage: Stage
    summary_amount: TotalAmount
    items: list[BillingEventItem] = Field(max_length=ITEMS_MAX)
    batch_id: Id | None = None
    account_id: Id | None = None
    company_id: Id | None = None
    billing_event_currency: CurrencyCode | None = None
    customer_reference: Name | None = None
    engagement: Name | None = None
    auto_pass_to_accounting: bool = False
    corrects_billing_event_id: Id | None = None
    released: bool = False
    released_at: Instant | None = None
    released_by: UserId | None = None
    released_by_job_id: Id | None = None
    invoiced: bool = False
    invoice_number: Name | None = None
    invoice_date: Date | None = None
    document_id: Id | None = None
    origin_id: Id | None = None
    root_id: Id | None = None
    made_by_cap: bool = False
    on_hold: bool = False
    queued_by: Id | None = None
    conflict: bool = False
    category_mismatch: list[Id] = Field(default_factory=list, max_length=MESSAGE_IDS_MAX)
    missing: list[Code] = Field(default_factory=list, max_length=100)
    waits_for: list[WaitedFor] = Field(default_factory=list, max_length=WAITED_FOR_MAX)
    filled: dict[Code, Code] = Field(default_factory=dict, max_length=100)
    left_out_criteria: dict[Id, Description] = Field(default_factory=dict, max_length=ITEMS_MAX)
    fields: CustomFields = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_amounts(self) -> Self:
        to_minor_units_in_list(self.currency, self.items, "items")
        return self
