"""What a file of a document is made from: everything that its reader sees, complete, so that no look-up is needed."""

import datetime
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from accounting_connector.domain.companies import Party
from accounting_connector.domain.documents import Document, DocumentLine, DocumentStatus, due_date
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.reasons import Reason
from accounting_connector.domain.tax import TaxTotal

NOTHING_TO_PAY: Final = "Nothing is to be paid."


class NotRenderedError(Exception):
    """A file that cannot be made, with all reasons; an HTTP request for it answers 422 with the first one's code."""

    def __init__(self, *reasons: Reason) -> None:
        super().__init__("; ".join(reason.message for reason in reasons))
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class PrecedingDocument:
    """The validated document that a correction corrects or a mirror takes back."""

    number: str
    date: datetime.date


@dataclass(frozen=True, slots=True)
class Rendering:
    """A document as its files show it; amounts in the document's currency, prices per unit in it as well."""

    kind: DocumentKind
    number: str
    is_draft: bool
    """Not validated: its files say so, and no XML travels with its PDF."""
    date: datetime.date
    due_date: datetime.date
    payment_terms: str
    currency: str
    seller: Party
    buyer: Party
    engagement: str | None
    buyer_reference: str | None
    billing_event_ids: tuple[str, ...]
    preceding: PrecedingDocument | None
    lines: tuple[DocumentLine, ...]
    taxes: tuple[TaxTotal, ...]
    total_net: Decimal
    total_tax: Decimal
    total_gross: Decimal

    @property
    def asks_for_payment(self) -> bool:
        """Whether anything is to be paid, or paid back: a total of zero or less asks for none, and promises none."""
        return self.total_gross > 0


def preceding_document_id(document: Document) -> str | None:
    """The id of the document that this one corrects, takes back or supplements, if it does."""
    return document.mirrors_document_id or document.corrects_document_id or document.supplements_document_id


def rendering_of(
    document: Document, *, today: datetime.date, preceding: PrecedingDocument | None = None
) -> Rendering:
    """What the files of a document are made from.

    `today` (a day of the business's time zone) stands in for the date of a draft that has none yet; a validated
    document always has its own. `preceding` belongs to `preceding_document_id(document)`; raises ValueError where one
    is there and the other is not.
    """
    if (preceding is None) != (preceding_document_id(document) is None):
        raise ValueError(f"document {document.document_id} needs the document that it names, and no other")
    date = document.date or today
    due = document.due_date or due_date(date, document.collection_date, document.payment_days) or date
    return Rendering(
        kind=document.kind,
        number=document.number,
        is_draft=document.status is not DocumentStatus.VALIDATED,
        date=date,
        due_date=due,
        payment_terms=_payment_terms(document, date, due),
        currency=document.currency,
        seller=document.company,
        buyer=document.account,
        engagement=document.engagement,
        buyer_reference=document.customer_reference,
        billing_event_ids=document.billing_event_ids,
        preceding=preceding,
        lines=document.lines,
        taxes=document.taxes,
        total_net=document.total_net,
        total_tax=document.total_tax,
        total_gross=document.total_gross,
    )


def long_date(date: datetime.date) -> str:
    """A day as readers of any country read it: 5 November 2026."""
    return f"{date.day} {date:%B %Y}"


def _payment_terms(document: Document, date: datetime.date, due: datetime.date) -> str:
    if document.total_gross <= 0:
        return NOTHING_TO_PAY
    if document.kind is DocumentKind.SALES_CREDIT_NOTE:
        return f"To be set against open invoices, or paid back by {long_date(due)}."
    days = (due - date).days
    if days <= 0:
        return f"Payable by {long_date(due)}."
    return f"Payable within {days} {'day' if days == 1 else 'days'}, by {long_date(due)}."
