"""Which events share a document, and which documents are too small to be made (domain.md section 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from accounting_connector.domain.assessment import Assessment
from accounting_connector.domain.documents import Document
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.reasons import Reason
from shared.money import format_amount


class Grouping(StrEnum):
    """One document per billing event, or per account, company, currency and sign."""

    BILLING_EVENT = "billing_event"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least net total of an invoice, in one currency."""

    amount: Decimal
    currency: str


LEFT_OUT_ITEMS_MAX: Final = 5_000
"""A document that leaves out more is made of one event only: whoever reads it must be able to take its fact."""


def group_for_documents(
    assessments: Sequence[Assessment], grouping: Grouping, max_lines: int, *, more_follow: bool = False
) -> tuple[tuple[Assessment, ...], ...]:
    """The events of each document, in the order given; all of them without reasons.

    By account: never netted, an account can get an invoice and a credit note. Over `max_lines`, or
    LEFT_OUT_ITEMS_MAX, further documents are begun, by whole events. Events that correct different documents are kept
    apart, so that each document names what it corrects. `more_follow`: groups that events to come could still join are
    left out, unless there are no others.
    """
    if grouping is Grouping.BILLING_EVENT:
        return tuple((assessment,) for assessment in assessments)
    groups: list[list[Assessment]] = []
    open_groups: dict[tuple[object, ...], tuple[list[Assessment], int, int]] = {}
    for assessment in assessments:
        key = _group_key(assessment)
        found, lines, left_out = open_groups.get(key, (None, 0, 0))
        lines += len(assessment.mapped.items)
        left_out += len(assessment.left_out_items)
        if found is None or lines > max_lines or left_out > LEFT_OUT_ITEMS_MAX:
            found, lines, left_out = [], len(assessment.mapped.items), len(assessment.left_out_items)
            groups.append(found)
        found.append(assessment)
        open_groups[key] = (found, lines, left_out)
    still_open = {id(group) for group, _, _ in open_groups.values()} if more_follow else set()
    full = [group for group in groups if id(group) not in still_open]
    return tuple(tuple(group) for group in full or groups)


def threshold_reason(document: Document, threshold: Threshold | None) -> Reason | None:
    """`below_threshold` for an invoice strictly below the threshold of its own currency; else None.

    Credit notes have no threshold (domain.md section 5, "Threshold").
    """
    if threshold is None or document.kind is not DocumentKind.SALES_INVOICE:
        return None
    if document.currency != threshold.currency or document.total_net >= threshold.amount:
        return None
    net = format_amount(document.total_net, document.currency)
    least = format_amount(threshold.amount, threshold.currency)
    return Reason(
        "below_threshold",
        f"The invoice of {net} {document.currency} is below the threshold of {least}",
        {
            "account_id": document.account.id,
            "total_net": net,
            "threshold": least,
            "currency": document.currency,
        },
    )


def _group_key(assessment: Assessment) -> tuple[object, ...]:
    account, company = assessment.mapped.account, assessment.candidate.company
    return (
        # A run works through its events by their own accounts: two whose mappings name one account stay apart, wherever
        # its chunks end.
        assessment.candidate.event.account_id,
        account.id if account else None,
        company.party.id if company else None,
        assessment.candidate.event.currency,
        assessment.kind,
        # A correction is on its own; what only names a document stands with what names the same.
        assessment.candidate.event.billing_event_id if assessment.corrects else None,
        assessment.supplements.document_id if assessment.supplements else None,
    )
