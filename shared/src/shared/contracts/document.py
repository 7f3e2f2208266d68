"""A document: a sales invoice or a sales credit note, as it stands in facts and answers (contract.md section 1)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from shared.contracts.base import (
    Address,
    CurrencyCode,
    Date,
    Description,
    Id,
    Name,
    Reader,
    to_minor_units,
    to_minor_units_in_list,
)
from shared.contracts.decimals import Amount, Percentage, Quantity, TotalAmount, UnitPrice
from shared.contracts.facts import Fact, Reasons
from shared.contracts.selections import DocumentKind

LINES_MAX = 100_000
TAXES_MAX = 1_000
FIELDS_MAX = 200
CRITERION_LENGTH_MAX = 500
"""Longer than this an item criterion is told by its beginning."""
CRITERIA_LENGTH_MAX = 1_000_000
"""All item criteria of a document together, so that its fact stays within what is taken (contract.md section 1)."""

DocumentStatus = Literal["draft", "validated", "cancelled"]
TaxCategory = Name


class Party(Reader):
    """The account or the company as it was when the document was made."""

    id: Id
    name: Name = ""
    tax_id: Name | None = None
    tax_registration: Name | None = None
    private: bool = False
    address: Address = Field(default_factory=Address)


class DocumentLine(Reader):
    """One line, made from one billing event item; on a credit note it is positive (domain.md section 4)."""

    line_id: Id
    billing_event_id: Id
    billing_event_item_id: Id
    quantity: Quantity
    unit_price: UnitPrice
    amount: Amount
    tax_category: TaxCategory
    tax_rate: Percentage
    description: Description = ""
    product: Name | None = None


class DocumentTax(Reader):
    """The tax of one category and rate, rounded once."""

    category: TaxCategory
    rate: Percentage
    taxable: TotalAmount
    tax: TotalAmount
    reason: Description | None = None
    reason_code: Name | None = None


class LeftOutItem(Reader):
    """An item that a document leaves out, and the company's item criterion that it does not meet."""

    billing_event_id: Id
    item_id: Id
    amount: Amount
    business_record_id: Id | None = None
    criterion: Description = ""


class DocumentHead(Fact):
    """A document without its lines and taxes: what those need who decide by what it is about and comes to.

    `excluded_items`: ids of the items that are left out, `left_out_items`: the same with their events and why; of a
    draft what would be left out. `corrects_document_id`: the document of the other kind
    that it takes back, in part or whole; `supplements_document_id`: the one of its own kind that it only names;
    `mirrors_document_id`: the one of which it takes back what is left.
    `additional_fields`: what the company's mappings added. `warnings`: what to look at, by code.
    """

    document_id: Id
    kind: DocumentKind
    status: DocumentStatus
    currency: CurrencyCode
    account: Party
    company: Party
    billing_event_ids: list[Id] = Field(min_length=1, max_length=LINES_MAX)
    total_net: TotalAmount
    total_tax: TotalAmount
    total_gross: TotalAmount
    number: Name | None = None
    date: Date | None = None
    due_date: Date | None = None
    billing_event_currency: CurrencyCode | None = None
    engagement: Name | None = None
    customer_reference: Name | None = None
    billing_run_id: Id | None = None
    process_run_id: Id | None = None
    job_id: Id | None = None
    excluded_items: list[Id] = Field(default_factory=list, max_length=LINES_MAX)
    left_out_items: list[LeftOutItem] = Field(default_factory=list, max_length=LINES_MAX)
    warnings: Reasons = Field(default_factory=list)
    corrects_document_id: Id | None = None
    supplements_document_id: Id | None = None
    mirrors_document_id: Id | None = None
    additional_fields: dict[Name, Description | None] = Field(default_factory=dict, max_length=FIELDS_MAX)

    @model_validator(mode="after")
    def _check_totals(self) -> Self:
        to_minor_units(self.currency, self, "total_net", "total_tax", "total_gross")
        return self


class Document(DocumentHead):
    """`accounting.document.drafted.v1`, `.validated.v1`, `.cancelled.v1`: the whole document with its lines."""

    lines: list[DocumentLine] = Field(max_length=LINES_MAX)
    taxes: list[DocumentTax] = Field(max_length=TAXES_MAX)

    @model_validator(mode="after")
    def _check_lines(self) -> Self:
        to_minor_units_in_list(self.currency, self.lines, "lines")
        return self
