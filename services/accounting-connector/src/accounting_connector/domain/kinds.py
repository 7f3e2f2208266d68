"""The kinds of documents, and how amounts stand on them (domain.md section 4, "Sign")."""

from decimal import Decimal
from enum import StrEnum


class DocumentKind(StrEnum):
    """A sales invoice asks for money, a sales credit note gives it back."""

    SALES_INVOICE = "sales_invoice"
    SALES_CREDIT_NOTE = "sales_credit_note"

    @property
    def opposite(self) -> "DocumentKind":
        """The kind that takes this one back."""
        if self is DocumentKind.SALES_INVOICE:
            return DocumentKind.SALES_CREDIT_NOTE
        return DocumentKind.SALES_INVOICE


def kind_of_amount(summary_amount: Decimal) -> DocumentKind:
    """Above zero a sales invoice, below a sales credit note; zero, where it is invoiced, an invoice."""
    return DocumentKind.SALES_CREDIT_NOTE if summary_amount < 0 else DocumentKind.SALES_INVOICE


def negated(number: Decimal) -> Decimal:
    """The number with the other sign, exactly; zero stays plain zero."""
    return number.copy_negate() if number else number.copy_abs()


def signed_amount(amount: Decimal, kind: DocumentKind) -> Decimal:
    """An item's amount as a document of this kind has it: on a credit note with the other sign."""
    return negated(amount) if kind is DocumentKind.SALES_CREDIT_NOTE else amount
