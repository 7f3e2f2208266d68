"""What is billed already: the events that hold an item, and what stands on each business record (domain.md section 2).

Billed is what released, not reverted events hold; in a decision on many events also what the earlier ones would.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from release.domain.events import BillingEvent, BillingEventItem, RecordKey
from shared.money import ZERO, exact_sum


@dataclass(slots=True)
class Billing:
    """What one event bills of one record: the sum of its items on it, generated adjustments among them.

    `limit` is the record's from then on, where a single item of more than the record is worth was released.
    """

    record: RecordKey
    billing_event_id: str
    root_id: str
    currency: str
    amount: Decimal
    limit: Decimal | None = None


@dataclass(slots=True)
class BilledRecord:
    """A business record in the books: what it is worth (None: not known), and what is billed of it, by currency.

    `billings` are those of released events, each one's sum: of a record whose worth is not known, and of others where
    a refusal is to name them.
    """

    amount: Decimal | None = None
    sums: Mapping[str, Decimal] = field(default_factory=dict)
    limits: Mapping[str, Decimal] = field(default_factory=dict)
    billings: tuple[Billing, ...] = ()

    @property
    def stays_billed(self) -> bool:
        """Whether anything stands on the record, in any currency."""
        return any(amount != ZERO for amount in self.sums.values())

    def sum_in(self, currency: str) -> Decimal:
        """What is billed of it in this currency."""
        return self.sums.get(currency, ZERO)

    def after(self, billing: Billing) -> "BilledRecord":
        """The record once this is billed, too; a billing of less than 0 takes off."""
        currency = billing.currency
        limits = self.limits
        if billing.limit is not None:
            limits = {**limits, currency: billing.limit}
        sums = {**self.sums, currency: self.sum_in(currency) + billing.amount}
        return BilledRecord(self.amount, sums, limits, (*self.billings, billing))


UNBILLED = BilledRecord()
"""A record of which nothing is billed, and whose worth is not known."""


@dataclass(slots=True)
class ItemHolder:
    """The event that an item is billed by, the first of them, and how many entries of the item there have been."""

    billing_event_id: str
    copies: int = 1


@dataclass(slots=True)
class Billed:
    """What is billed of the items and the records that some events name. `add` changes it: decide on a copy."""

    items: dict[str, ItemHolder] = field(default_factory=dict)
    records: dict[RecordKey, BilledRecord] = field(default_factory=dict)

    def copy(self) -> "Billed":
        """One that can be added to while this one stays as it is."""
        return Billed(dict(self.items), dict(self.records))

    def record(self, key: RecordKey) -> BilledRecord:
        """The record as it stands."""
        return self.records.get(key, UNBILLED)

    def add(self, event_id: str, item_ids: Iterable[str], billings: Iterable[Billing]) -> None:
        """Let an event be released with these items, which bill this."""
        for item_id in item_ids:
            held = self.items.get(item_id)
            self.items[item_id] = (
                ItemHolder(event_id) if held is None else replace(held, copies=held.copies + 1)
            )
        for billing in billings:
            self.records[billing.record] = self.record(billing.record).after(billing)


def billings_of(event: BillingEvent, items: Iterable[BillingEventItem]) -> list[Billing]:
    """What these items of an event bill, by record, in the order of the items."""
    amounts: dict[RecordKey, list[Decimal]] = {}
    for item in items:
        key = item.counted_record
        if key is not None:
            amounts.setdefault(key, []).append(item.amount)
    return [
        Billing(key, event.billing_event_id, event.lineage_root_id, event.currency, exact_sum(each))
        for key, each in amounts.items()
    ]
