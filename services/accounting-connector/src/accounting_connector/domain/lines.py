"""What becomes of an event's items on a document: mapped fields, sign, rounding (domain.md section 4)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal

from accounting_connector.domain import mappings
from accounting_connector.domain.billing_events import BillingEventItem, event_fields, item_fields
from accounting_connector.domain.companies import Party
from accounting_connector.domain.eligibility import Candidate
from accounting_connector.domain.mappings import FieldMapping, MappingError
from accounting_connector.domain.reasons import Reason
from shared.money import exact_product, exact_sum, format_amount, minor_unit

AccountLookup = Callable[[str], Sequence[Party]]
"""Finds the accounts that a mapped value names: by id, or by name."""


@dataclass(slots=True)
class MappedItem:
    """An item with what its line will show; quantity and unit price with the item's own signs."""

    item: BillingEventItem
    description: str
    product: str
    quantity: Decimal
    unit_price: Decimal
    additional_fields: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MappedEvent:
    """What an event gives to its document, after its company's mappings."""

    account: Party | None
    engagement: str | None
    customer_reference: str | None
    items: tuple[MappedItem, ...]
    additional_fields: Mapping[str, str | None] = field(default_factory=dict)


def sign_reasons(summary_amount: Decimal, items: Sequence[MappedItem], currency: str) -> Iterator[Reason]:
    """`sign_conflict` where the lines left sum to zero, or to another sign than the whole event.

    An event of zero that is invoiced by policy must be left with lines of zero.
    """
    lines_amount = exact_sum(mapped.item.amount for mapped in items)
    if _sign(lines_amount) != _sign(summary_amount):
        shown = format_amount(lines_amount, currency)
        whole = format_amount(summary_amount, currency)
        yield Reason(
            "sign_conflict",
            f"The eligible items sum to {shown}, the whole event to {whole}",
            {"eligible_amount": shown, "summary_amount": whole},
        )


def rounding_reasons(items: Sequence[MappedItem], currency: str) -> Iterator[Reason]:
    """`rounding_mismatch` where unrounded quantity x unit price is off by more than the minor unit."""
    tolerance = minor_unit(currency)
    wrong = [
        mapped.item.item_id
        for mapped in items
        if (product := exact_product(mapped.quantity, mapped.unit_price)) != mapped.item.amount
        and exact_sum((product, mapped.item.amount.copy_negate())).copy_abs() > tolerance
    ]
    if wrong:
        yield Reason(
            "rounding_mismatch",
            f"Quantity x unit price is more than {tolerance} off the amount: {', '.join(wrong[:5])}",
            {"items": wrong},
        )


def map_event(
    candidate: Candidate, items: Sequence[BillingEventItem], find_accounts: AccountLookup
) -> tuple[MappedEvent, tuple[Reason, ...]]:
    """The event's fields for its document, overridden and added to by its company's mappings.

    Every mapping that finds none or several is named in one `mapping_failed`.
    """
    rules = candidate.company.settings.mappings if candidate.company else ()
    failures: list[dict[str, object]] = []
    scope = _event_scope(candidate) if rules else {}
    mapped_items = tuple(
        _map_item(item, [rule for rule in rules if rule.on_lines], scope, failures) for item in items
    )
    values: dict[str, str | None] = {
        "engagement": candidate.event.engagement,
        "customer_reference": candidate.event.customer_reference,
    }
    account = candidate.account
    for rule in rules:
        if rule.on_lines:
            continue
        try:
            value = mappings.map_value(rule, (scope,))
            if rule.target == mappings.ACCOUNT:
                account = _the_account(value, find_accounts)
            else:
                values[rule.target] = value
        except MappingError as error:
            failures.append({"target": rule.target, "problem": str(error)})
    mapped = MappedEvent(
        account, values.pop("engagement"), values.pop("customer_reference"), mapped_items, values
    )
    return mapped, _mapping_reasons(failures)


def _sign(amount: Decimal) -> int:
    return (amount > 0) - (amount < 0)


def _event_scope(candidate: Candidate) -> dict[str, object]:
    fields = event_fields(candidate.event)
    company = candidate.company
    return {
        **fields,
        "billing_event": fields,
        "account": None if candidate.account is None else asdict(candidate.account),
        "company": None if company is None else asdict(company.party),
    }


def _map_item(
    item: BillingEventItem,
    rules: Sequence[FieldMapping],
    event_scope: Mapping[str, object],
    failures: list[dict[str, object]],
) -> MappedItem:
    product = item.services_product or ""
    if not rules:
        return MappedItem(item, item.accounting_line_description, product, item.quantity, item.unit_price)
    fields = item_fields(item)
    scopes = ({**fields, "item": fields, "items": fields}, event_scope)
    numbers = {"quantity": item.quantity, "unit_price": item.unit_price}
    texts: dict[str, str | None] = {"description": item.accounting_line_description, "product": product}
    for rule in rules:
        try:
            if rule.target in numbers:
                numbers[rule.target] = mappings.map_number(rule, scopes)
            else:
                texts[rule.target] = mappings.map_value(rule, scopes)
        except MappingError as error:
            failures.append(
                {"target": f"lines.{rule.target}", "item_id": item.item_id, "problem": str(error)}
            )
    return MappedItem(
        item, texts.pop("description") or "", texts.pop("product") or "", **numbers, additional_fields=texts
    )


def _the_account(name: str | None, find_accounts: AccountLookup) -> Party:
    found = () if name is None else find_accounts(name)
    if len(found) != 1:
        raise MappingError(f"{name!r} names {len(found)} accounts")
    return found[0]


def _mapping_reasons(failures: Sequence[dict[str, object]]) -> tuple[Reason, ...]:
    if not failures:
        return ()
    first = failures[0]
    message = f"The mapping of {first['target']} failed: {first['problem']}"
    return (Reason("mapping_failed", message, {"failures": list(failures[:20])}),)
