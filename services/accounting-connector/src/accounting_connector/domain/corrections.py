"""What a correction may be, and how much of its original is left to correct (documents.md sections 3.1, 3.2, 3.4)."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.reasons import Reason
from accounting_connector.domain.tax import Tax, TaxTotal, product_key, rounded_tax
from shared.money import ZERO, exact_sum, format_amount

Rate = tuple[str, Decimal]
"""Category and rate of a tax."""


@dataclass(frozen=True, slots=True)
class Part:
    """Net and tax of one category and rate."""

    net: Decimal = ZERO
    tax: Decimal = ZERO

    def less(self, other: "Part") -> "Part":
        """What is left of this part without the other."""
        return Part(exact_sum((self.net, -other.net)), exact_sum((self.tax, -other.tax)))


NOTHING_TAKEN: Final[Mapping[Rate, Part]] = {}


@dataclass(frozen=True, slots=True)
class OriginalLine:
    """A line of an original: the item it was made from, its product as products are compared, and its tax."""

    item_id: str
    product: str | None
    tax: Tax


@dataclass(frozen=True, slots=True)
class CreditedLine:
    """A line of a correction that counts: what it takes, and of which event of the original."""

    billing_event_id: str
    corrects_item_id: str | None
    product: str
    rate: Rate
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Original:
    """A validated document as its corrections see it; amounts in its currency.

    `taken` is what its corrections have taken of each rate: drafts too, those that were taken back not.
    """

    document_id: str
    kind: DocumentKind
    account_id: str
    company_id: str
    currency: str
    lines: tuple[OriginalLine, ...]
    taxes: tuple[TaxTotal, ...]
    taken: Mapping[Rate, Part] = field(default_factory=lambda: NOTHING_TAKEN)
    is_correction: bool = False

    def left(self) -> dict[Rate, Part]:
        """What corrections can still take of each rate."""
        return {
            rate: Part(total.taxable, total.tax).less(self.taken.get(rate, Part()))
            for total in self.taxes
            for rate in [(total.category, total.rate)]
        }

    def after(self, taxes: Iterable[TaxTotal]) -> "Original":
        """The original when one more correction has taken this."""
        taken = dict(self.taken)
        for total in taxes:
            rate = (total.category, total.rate)
            before = taken.get(rate, Part())
            taken[rate] = Part(exact_sum((before.net, total.taxable)), exact_sum((before.tax, total.tax)))
        return dataclasses.replace(self, taken=taken)

    @property
    def is_fully_corrected(self) -> bool:
        """Whether no net is left in any rate."""
        return all(not part.net for part in self.left().values())


def mismatch_reason(
    original: Original, *, account_id: str | None, company_id: str | None, currency: str
) -> Reason | None:
    """`correction_mismatch` where account, company or currency are not the original's (3.1)."""
    given = {"account_id": account_id, "company_id": company_id, "currency": currency}
    fields = [name for name, value in given.items() if value != getattr(original, name)]
    if not fields:
        return None
    wanted = {name: getattr(original, name) for name in fields}
    message = f"It corrects document {original.document_id}, but differs from it in {', '.join(fields)}"
    return Reason("correction_mismatch", message, {"fields": fields, "original": wanted})


def tax_of_correction(
    original: Original, product: str | None, corrects_item_id: str | None = None
) -> Tax | str:
    """The original's tax for a correcting line, or the code that refuses it (3.2).

    That of the line whose item it names; else of the lines of its product, if they have one; else of all lines, if they
    have one.
    """
    if corrects_item_id is not None:
        named = next((line for line in original.lines if line.item_id == corrects_item_id), None)
        return "corrected_item_unknown" if named is None else named.tax
    key = product_key(product)
    for lines in ([line for line in original.lines if line.product == key], original.lines):
        taxes = {(line.tax.category, line.tax.rate): line.tax for line in lines}
        if len(taxes) == 1:
            return next(iter(taxes.values()))
    return "correction_tax_ambiguous"


def excess_reason(original: Original, totals: Sequence[TaxTotal]) -> Reason | None:
    """`correction_exceeds`, with what is left per rate, where a net is not between 0 and that (3.2)."""
    left = original.left()
    if all(_is_within(left.get((each.category, each.rate), Part()).net, each.taxable) for each in totals):
        return None
    shown = left_body(original)
    words = ", ".join(f"{amount} at {rate}" for rate, amount in shown.items())
    message = f"It corrects more than is left of document {original.document_id}: {words}"
    return Reason("correction_exceeds", message, {"document_id": original.document_id, "left": shown})


def left_body(original: Original) -> dict[str, str]:
    """What is left of each rate, such as "S 20", as amounts are written."""
    return {
        f"{category} {rate.normalize():f}": format_amount(part.net, original.currency)
        for (category, rate), part in original.left().items()
    }


def corrected_totals(original: Original, totals: Sequence[TaxTotal]) -> tuple[TaxTotal, ...]:
    """The totals of a correction within its limits: the tax never above what is left of it (3.2).

    The correction that leaves no net takes what is left of the tax, so that all of them add up to the original.
    """
    left = original.left()
    found = []
    for total in totals:
        part = left[total.category, total.rate]
        if total.taxable == part.net:
            tax = part.tax
        else:
            rounded = rounded_tax(total.taxable, total.rate, original.currency)
            tax = max(rounded, part.tax) if part.net < 0 else min(rounded, part.tax)
        found.append(dataclasses.replace(total, tax=tax))
    return tuple(found)


def _is_within(left: Decimal, net: Decimal) -> bool:
    return min(left, ZERO) <= net <= max(left, ZERO)
