"""Billing events and their items, as values that decisions are made on (domain.md, opening section and section 1).

Nothing changes such a value: whatever differs is a new one, by `dataclasses.replace`. What a batch makes by the
thousand is not declared `frozen` all the same, here and elsewhere, since making one would take three times as long.
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from release.domain.stages import Stage
from shared.money import exact_sum

FILLED_BY_HAND: Final = frozenset({"user", "process"})
"""Origins of a filled value that completion leaves alone, as it does what PSA sent."""


class RecordKey(NamedTuple):
    """Names one business record: its kind (`timecard`, `assignment`, …) and its id."""

    kind: str
    record_id: str


@dataclass(slots=True)
class BillingEventItem:
    """One line of a billing event (contract.md section 1), completed or not.

    `services_product_from` says where the product came from: None where PSA sent it with the item or none was found,
    `user` or `process` where one of them filled it, else the kind of the link of the item's chain that gave it.
    `adjusts_item_id` and `adjusts_category` are set on a generated adjustment only: the item whose overage it takes
    out, or carries on, and the kind of that item's business record.
    `category_mismatch`: when the event was last completed, its record was known to be of another kind.
    """

    item_id: str
    created_at: datetime.datetime
    category: str
    business_record_id: str | None
    description: str
    amount: Decimal
    quantity: Decimal
    unit_price: Decimal
    date: datetime.date | None = None
    business_record_version: int | None = None
    services_product: str | None = None
    services_product_from: str | None = None
    accounting_line_description: str | None = None
    budget_id: str | None = None
    adjusts_item_id: str | None = None
    category_mismatch: bool = False
    adjusts_category: str | None = None
    fields: Mapping[str, object] = field(default_factory=dict)

    @property
    def record_key(self) -> RecordKey | None:
        """The business record that the item bills; None for a generated adjustment, which bills none."""
        if self.adjusts_item_id is not None or self.business_record_id is None:
            return None
        return RecordKey(self.category, self.business_record_id)

    @property
    def counted_record(self) -> RecordKey | None:
        """The business record that the amount counts on: a generated adjustment's is that of the item it adjusts."""
        if self.business_record_id is None:
            return None
        return RecordKey(self.adjusts_category or self.category, self.business_record_id)


def is_flag_set(value: object) -> bool:
    """Whether a custom field says yes: true, or the text "true" (domain.md section 4, "Ways in")."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


@dataclass(slots=True)
class BillingEvent:
    """One project's billable items, made together and released as one (domain.md, opening section).

    `filled` names, by field, where a value came from that PSA left empty: a source of completion (`project`, `region`,
    `practice`, `group`, `company`), or `user` or `process`. A field that is not in it holds what PSA sent. `queued_by`
    is the job that the event is queued for; `origin_id` and `root_id` are set on an event made by a split. In `filled`,
    `fields` stands for the custom field that passes the event in place of the flag.
    """

    billing_event_id: str
    version: int
    project_id: str
    date: datetime.date
    currency: str
    items: tuple[BillingEventItem, ...]
    stage: Stage = Stage.AWAITING_RELEASE
    batch_id: str | None = None
    account_id: str | None = None
    company_id: str | None = None
    billing_event_currency: str | None = None
    customer_reference: str | None = None
    auto_pass_to_accounting: bool = False
    corrects_billing_event_id: str | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    filled: Mapping[str, str] = field(default_factory=dict)
    on_hold: bool = False
    queued_by: str | None = None
    origin_id: str | None = None
    root_id: str | None = None
    made_by_cap: bool = False
    is_too_large: bool = False
    """Whether a fact about it was found to be more than one message may tell, while it is decided on; never stored."""

    @property
    def summary_amount(self) -> Decimal:
        """The sum of the items' amounts, exact."""
        return exact_sum(item.amount for item in self.items)

    @property
    def mismatched_item_ids(self) -> list[str]:
        """The items whose category is not their record's kind; a generated adjustment is never one."""
        return [
            item.item_id for item in self.items if item.category_mismatch and item.adjusts_item_id is None
        ]

    @property
    def lineage_root_id(self) -> str:
        """The event that the whole lineage of splits began with: itself where no split made it."""
        return self.root_id or self.billing_event_id


def in_order_of_creation(items: Iterable[BillingEventItem]) -> list[BillingEventItem]:
    """Items by the instant of their creation, then by id, compared by code point (domain.md section 3)."""
    return sorted(items, key=lambda item: (item.created_at, item.item_id))


def billed_records(items: Iterable[BillingEventItem]) -> tuple[RecordKey, ...]:
    """The business records that a release of these items marks as billed, each once (domain.md section 2).

    A generated adjustment keeps its item's reference but bills no record: giving it back must not free a record that
    the item itself still bills.
    """
    return tuple(dict.fromkeys(key for item in items if (key := item.record_key) is not None))
