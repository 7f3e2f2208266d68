"""Whether a billing event can become a document, with all that speaks against it (domain.md section 4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from accounting_connector.domain.billing_events import summary_amount
from accounting_connector.domain.companies import Party
from accounting_connector.domain.corrections import Original, excess_reason, mismatch_reason
from accounting_connector.domain.eligibility import Candidate, LeftOutItem, Terms, check_eligibility
from accounting_connector.domain.kinds import DocumentKind, kind_of_amount, signed_amount
from accounting_connector.domain.line_taxes import LineTaxes, correcting_taxes, line_taxes
from accounting_connector.domain.lines import (
    AccountLookup,
    MappedEvent,
    map_event,
    rounding_reasons,
    sign_reasons,
)
from accounting_connector.domain.reasons import Reason
from accounting_connector.domain.tax import Tax, tax_totals


@dataclass(frozen=True, slots=True)
class Assessment:
    """Whether an event can become a document (no reasons: it can), and all that its document needs of it.

    `is_eligible`: no criterion of eligibility fails; what reasons there are come from the building of its lines.
    """

    candidate: Candidate
    kind: DocumentKind
    mapped: MappedEvent
    left_out_items: tuple[LeftOutItem, ...]
    reasons: tuple[Reason, ...]
    is_eligible: bool
    taxes: tuple[Tax, ...] = ()
    """The tax of each mapped item, in their order."""
    warnings: tuple[Reason, ...] = ()

    @property
    def corrects(self) -> Original | None:
        """The document that this one's corrects, which is of the opposite kind (documents.md section 3.1)."""
        original = self.candidate.original
        return original if original is not None and original.kind is not self.kind else None

    @property
    def supplements(self) -> Original | None:
        """The document of the same kind that this one's only names."""
        original = self.candidate.original
        return original if original is not None and original.kind is self.kind else None


def no_accounts(name: str) -> Sequence[Party]:
    """The account lookup of a caller whose companies map no accounts: finds none."""
    del name
    return ()


def assess(candidate: Candidate, terms: Terms, find_accounts: AccountLookup = no_accounts) -> Assessment:
    """All reasons against a document of this event: eligibility first, then those of line building.

    The same code serves the dry run, *validate first* and the making of documents.
    """
    event = candidate.event
    eligibility = check_eligibility(candidate, terms)
    mapped, mapping_reasons = map_event(candidate, eligibility.eligible_items, find_accounts)
    event_amount = summary_amount(event)
    kind = kind_of_amount(event_amount)
    reasons = list(eligibility.reasons)
    if not {"no_eligible_item", "zero_amount"} & {reason.code for reason in reasons}:
        reasons.extend(sign_reasons(event_amount, mapped.items, event.currency))
    reasons.extend(rounding_reasons(mapped.items, event.currency))
    reasons.extend(mapping_reasons)
    wrong_original = tuple(_reasons_of_original(candidate, mapped))
    taxed = LineTaxes(()) if wrong_original else _taxed(candidate, mapped, kind)
    return Assessment(
        candidate,
        kind,
        mapped,
        eligibility.left_out_items,
        (*reasons, *wrong_original, *taxed.reasons),
        is_eligible=not eligibility.reasons,
        taxes=taxed.taxes,
        warnings=taxed.warnings,
    )


def excess_of(assessments: Sequence[Assessment], original: Original) -> Reason | None:
    """`correction_exceeds` where a document of these events would take more than is left of this original."""
    first = assessments[0]
    amounts = (
        (tax, signed_amount(mapped.item.amount, first.kind))
        for each in assessments
        for mapped, tax in zip(each.mapped.items, each.taxes, strict=True)
    )
    return excess_reason(original, tax_totals(amounts, original.currency))


def _reasons_of_original(candidate: Candidate, mapped: MappedEvent) -> Iterator[Reason]:
    """What speaks against the document that the event names as the one that it corrects."""
    named, original = candidate.event.corrects_billing_event_id, candidate.original
    if named is None:
        return
    if original is None or original.is_correction:
        problem = "has no validated document" if original is None else "is a correction itself"
        yield Reason(
            "corrected_document_unknown",
            f"It corrects {named}, which {problem}",
            {"corrects_billing_event_id": named},
        )
        return
    found = mismatch_reason(
        original,
        account_id=None if mapped.account is None else mapped.account.id,
        company_id=candidate.event.company_id,
        currency=candidate.event.currency,
    )
    if found is not None:
        yield found


def _taxed(candidate: Candidate, mapped: MappedEvent, kind: DocumentKind) -> LineTaxes:
    """A correction has its original's taxes, and takes no more than is left; anything else the company's."""
    original = candidate.original
    if original is None or original.kind is kind:
        return line_taxes(candidate, mapped)
    found = correcting_taxes(original, mapped)
    if found.reasons:
        return found
    amounts = [signed_amount(each.item.amount, kind) for each in mapped.items]
    excess = excess_reason(original, tax_totals(zip(found.taxes, amounts, strict=True), original.currency))
    return found if excess is None else LineTaxes(found.taxes, (excess,))
