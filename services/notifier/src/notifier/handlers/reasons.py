"""Reasons and amounts of facts in plain words, for whoever is told."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from notifier.domain.notices import counted, words_of
from shared.contracts.facts import BillingEventReasons, LeftOutTotal, Reason
from shared.money import format_amount, format_number, has_only_minor_units


def reason_text(reason: Reason) -> str:
    """A reason's sentence; without one, the words of its code."""
    return reason.message or words_of(reason.code)


def event_texts(failures: Iterable[BillingEventReasons]) -> list[str]:
    """A line for each billing event that was not taken, with all of its reasons."""
    return [
        f"{failure.billing_event_id}: {'; '.join(map(reason_text, failure.reasons)) or 'no reason given'}"
        for failure in failures
    ]


def amount_text(amount: Decimal, currency: str | None) -> str:
    """An amount with its currency's digits, as it came if it has more of them or no currency is known."""
    if currency is None or not has_only_minor_units(amount, currency):
        return format_number(amount)
    return format_amount(amount, currency)


def total_texts(totals: Mapping[str, Mapping[str, Decimal]]) -> dict[str, dict[str, str]]:
    """Totals by currency and by what was summed, as they are shown."""
    return {
        currency: {name: amount_text(amount, currency) for name, amount in sums.items()}
        for currency, sums in sorted(totals.items())
    }


def left_out_text(totals: Mapping[str, LeftOutTotal], *, of: str) -> str:
    """What was left out of documents, in a sentence that follows others; empty where nothing was."""
    items = items_left_out(totals)
    if not items:
        return ""
    amounts = ", ".join(
        f"{amount_text(total.amount, currency)} {currency}" for currency, total in sorted(totals.items())
    )
    return (
        " Left out of documents by item criteria, not invoiced and still to be billed: "
        f"{counted(items, 'item', 'items')} of {of} ({amounts})."
    )


def items_left_out(totals: Mapping[str, LeftOutTotal]) -> int:
    """How many items were left out, in all currencies."""
    return sum(total.items for total in totals.values())
