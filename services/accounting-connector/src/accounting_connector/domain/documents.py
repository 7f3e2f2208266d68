"""Sales invoices and sales credit notes made from billing events (domain.md section 4)."""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from accounting_connector.domain.assessment import Assessment
from accounting_connector.domain.companies import Party
from accounting_connector.domain.corrections import (
    NOTHING_TAKEN,
    Original,
    OriginalLine,
    Part,
    Rate,
    corrected_totals,
)
from accounting_connector.domain.eligibility import LeftOutItem, Terms
from accounting_connector.domain.kinds import DocumentKind, negated, signed_amount
from accounting_connector.domain.lines import MappedItem
from accounting_connector.domain.reasons import Reason, merged
from accounting_connector.domain.tax import Tax, TaxTotal, product_key, tax_totals
from shared.money import exact_sum, format_amount


class DocumentStatus(StrEnum):
    """draft -> validated | cancelled; a validated document never changes."""

    DRAFT = "draft"
    VALIDATED = "validated"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class DocumentLine:
    """One item of a billing event; amounts in the document's currency, on a credit note with turned sign."""

    line_id: str
    billing_event_id: str
    billing_event_item_id: str
    description: str
    product: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    tax_category: str
    tax_rate: Decimal
    additional_fields: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A document as contract.md section 1 has it, and what its later steps need."""

    document_id: str
    kind: DocumentKind
    status: DocumentStatus
    number: str
    date: datetime.date | None
    due_date: datetime.date | None
    currency: str
    billing_event_currency: str
    account: Party
    company: Party
    engagement: str | None
    customer_reference: str | None
    billing_event_ids: tuple[str, ...]
    billing_run_id: str | None
    lines: tuple[DocumentLine, ...]
    taxes: tuple[TaxTotal, ...]
    total_net: Decimal
    total_tax: Decimal
    total_gross: Decimal
    excluded_items: tuple[str, ...]
    """Ids of the items that its events' companies leave out (domain.md section 4, "Sign")."""
    corrects_document_id: str | None
    """The document of the opposite kind that it takes back, in part or whole (documents.md section 3)."""
    mirrors_document_id: str | None
    """The document that this one takes back whole (domain.md section 4, "Withdraw"); else None."""
    collection_date: datetime.date | None
    payment_days: int
    supplements_document_id: str | None = field(default=None, kw_only=True)
    """The document of the same kind that its event names as what it corrects: it only names it."""
    additional_fields: Mapping[str, str | None] = field(default_factory=dict)
    warnings: tuple[Reason, ...] = ()
    """What to look at (documents.md section 2.4): of the events that `detail` names, else of all of the document's."""
    left_out_items: tuple[LeftOutItem, ...] = ()
    """The same items, each with its event and why; none of a document from before this was kept, nor of a mirror."""


def draft_document(
    document_id: str,
    assessments: Sequence[Assessment],
    terms: Terms,
    *,
    invoice_date: datetime.date | None,
    collection_date: datetime.date | None = None,
    original: Original | None = None,
) -> Document:
    """The draft of one document from one event, or from one group of `grouping.group_for_documents`.

    `invoice_date` None: not known before it is validated. `original`: the document that it corrects, where that is not
    any more as the events were assessed. What the events do not agree on (engagement, reference, added fields) stays
    empty. Raises ValueError if there is no event, or a reason against one.
    """
    if not assessments or any(assessment.reasons for assessment in assessments):
        raise ValueError("a document is made from events that nothing speaks against")
    first = assessments[0]
    account, company = first.mapped.account, first.candidate.company
    if account is None or company is None:
        raise ValueError("an event without account or company is not eligible")
    taxed = list(_taxed_lines(document_id, assessments))
    currency = first.candidate.event.currency
    taxes = tax_totals(((tax, line.amount) for line, tax in taxed), currency)
    original = original or first.corrects
    if original is not None:
        taxes = corrected_totals(original, taxes)
    total_net = exact_sum(line.amount for line, _ in taxed)
    total_tax = exact_sum(total.tax for total in taxes)
    total_gross = exact_sum((total_net, total_tax))
    payment_days = company.settings.payment_days
    payment_days = terms.payment_days if payment_days is None else payment_days
    mapped = [assessment.mapped for assessment in assessments]
    left_out = tuple(item for assessment in assessments for item in assessment.left_out_items)
    return Document(
        document_id=document_id,
        kind=first.kind,
        status=DocumentStatus.DRAFT,
        number=f"DRAFT-{document_id}",
        date=invoice_date,
        due_date=due_date(invoice_date, collection_date, payment_days),
        currency=currency,
        billing_event_currency=first.candidate.event.billing_event_currency or currency,
        account=account,
        company=company.party,
        engagement=_agreed(event.engagement for event in mapped),
        customer_reference=_agreed(event.customer_reference for event in mapped),
        billing_event_ids=tuple(assessment.candidate.event.billing_event_id for assessment in assessments),
        billing_run_id=terms.asked_by_run,
        lines=tuple(line for line, _ in taxed),
        taxes=taxes,
        total_net=total_net,
        total_tax=total_tax,
        total_gross=total_gross,
        excluded_items=tuple(item.item_id for item in left_out),
        corrects_document_id=None if original is None else original.document_id,
        supplements_document_id=None if first.supplements is None else first.supplements.document_id,
        mirrors_document_id=None,
        collection_date=collection_date,
        payment_days=payment_days,
        additional_fields=_agreed_fields([event.additional_fields for event in mapped]),
        warnings=(
            *merged(warning for assessment in assessments for warning in assessment.warnings),
            *payment_warnings(total_gross, currency),
        ),
        left_out_items=left_out,
    )


def due_date(
    invoice_date: datetime.date | None, collection_date: datetime.date | None, payment_days: int
) -> datetime.date | None:
    """The run's collection date, else the invoice date and the payment days (domain.md section 4, "Tax")."""
    if collection_date is not None or invoice_date is None:
        return collection_date
    return invoice_date + datetime.timedelta(days=payment_days)


def validate_document(document: Document, number: str, invoice_date: datetime.date) -> Document:
    """The draft with its number, its date and the due date that follows. Raises ValueError for no draft."""
    if document.status is not DocumentStatus.DRAFT:
        raise ValueError(f"document {document.document_id} is {document.status.value}, not a draft")
    return dataclasses.replace(
        document,
        status=DocumentStatus.VALIDATED,
        number=number,
        date=invoice_date,
        due_date=due_date(invoice_date, document.collection_date, document.payment_days),
    )


def cancel_document(document: Document) -> Document:
    """The cancelled document. Raises ValueError for anything but a draft."""
    if document.status is not DocumentStatus.DRAFT:
        raise ValueError(f"document {document.document_id} is {document.status.value}, not a draft")
    return dataclasses.replace(document, status=DocumentStatus.CANCELLED)


def _taxed_lines(document_id: str, assessments: Sequence[Assessment]) -> Iterator[tuple[DocumentLine, Tax]]:
    position = 0
    for assessment in assessments:
        event_id = assessment.candidate.event.billing_event_id
        for mapped, tax in zip(assessment.mapped.items, assessment.taxes, strict=True):
            position += 1
            yield _line(f"{document_id}.{position}", event_id, mapped, assessment.kind, tax), tax


def _line(line_id: str, event_id: str, mapped: MappedItem, kind: DocumentKind, tax: Tax) -> DocumentLine:
    """On a credit note unit price and amount are negated and the quantity stays: the note is positive."""
    is_credit_note = kind is DocumentKind.SALES_CREDIT_NOTE
    return DocumentLine(
        line_id=line_id,
        billing_event_id=event_id,
        billing_event_item_id=mapped.item.item_id,
        description=mapped.description,
        product=mapped.product,
        quantity=mapped.quantity,
        unit_price=negated(mapped.unit_price) if is_credit_note else mapped.unit_price,
        amount=signed_amount(mapped.item.amount, kind),
        tax_category=tax.category,
        tax_rate=tax.rate,
        additional_fields=mapped.additional_fields,
    )


def as_original(
    document: Document, taken: Mapping[Rate, Part] = NOTHING_TAKEN, *, is_correction: bool = False
) -> Original:
    """The document as its corrections see it; `taken`: what they have taken of each rate."""
    taxes = {
        (total.category, total.rate): Tax(total.category, total.rate, total.reason, total.reason_code)
        for total in document.taxes
    }
    return Original(
        document_id=document.document_id,
        kind=document.kind,
        account_id=document.account.id,
        company_id=document.company.id,
        currency=document.currency,
        lines=tuple(
            OriginalLine(
                line.billing_event_item_id,
                product_key(line.product),
                taxes[line.tax_category, line.tax_rate],
            )
            for line in document.lines
        ),
        taxes=document.taxes,
        taken=taken,
        is_correction=is_correction,
    )


def payment_warnings(total_gross: Decimal, currency: str) -> Iterator[Reason]:
    """`nothing_to_pay` for a document that asks for no payment, and promises none (documents.md section 2.4)."""
    if total_gross <= 0:
        shown = format_amount(total_gross, currency)
        yield Reason(
            "nothing_to_pay",
            f"Its total with tax is {shown} {currency}: nothing is to be paid",
            {"total_gross": shown, "currency": currency},
        )


def _agreed(values: Iterable[str | None]) -> str | None:
    """The value that all have; None where they differ."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _agreed_fields(fields: Sequence[Mapping[str, str | None]]) -> Mapping[str, str | None]:
    first = fields[0]
    return {
        name: value for name, value in first.items() if all(name in f and f[name] == value for f in fields)
    }
