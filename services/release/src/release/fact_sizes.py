"""How large a billing event's facts may become, asked when it arrives (contract.md section 1).

There are no facts in parts: an event whose `released` fact no reader would take could be completed, but never released.
So every field that completion and release fill is counted at its longest, in bytes of UTF-8.
"""

from typing import Final

import orjson

from release.domain.events import BillingEventItem
from release.facts import billing_event_body
from release.store.events import StoredEvent
from shared.contracts.base import NAME_LENGTH_MAX
from shared.database.unit_of_work import MESSAGE_BYTES_MAX
from shared.ids import ID_LENGTH_MAX

NAME_BYTES_MAX: Final = 4 * NAME_LENGTH_MAX
"""The longest name: four bytes is the most that a character takes, but for control characters, which are escaped."""

SURELY_FITTING_ITEMS: Final = 500
SURELY_FITTING_BYTES: Final = 512 * 1024
"""With no more items than these, in a value no larger than this, each field counted twice and at its longest fits."""

_HEAD_BYTES: Final = 256 * 1024
"""What the fact says beside the event's items: who, when and by which job, account, company and engagement, and the
bounded lists of warnings and of a mismatch's first items."""
_PRODUCT_BYTES: Final = NAME_BYTES_MAX + 30
"""A product, and the kind of the record that gave it."""
_BUDGET_BYTES: Final = 4 * ID_LENGTH_MAX + 500
"""A budget's figures in the cap, and the ids and words in which an adjustment differs from the item that it adjusts."""


def may_become_too_large(stored: StoredEvent, value_bytes: int) -> bool:
    """Whether the event's facts could become larger than a message may be; `value_bytes` is the size of PSA's message.

    `stored` is the event as PSA sent it, with what was filled by hand: not completed.
    """
    if value_bytes <= SURELY_FITTING_BYTES and len(stored.event.items) <= SURELY_FITTING_ITEMS:
        return False
    return released_bytes_max(stored) > MESSAGE_BYTES_MAX


def released_bytes_max(stored: StoredEvent) -> int:
    """The most bytes that the event's `released` fact can take once all is filled.

    A split can add one adjustment for each budget, which is like the item that it adjusts.
    """
    body = billing_event_body(stored)
    total = len(orjson.dumps({**body, "items": []})) + _HEAD_BYTES
    adjusted: dict[str, int] = {}
    for item, shown in zip(stored.event.items, body["items"], strict=True):
        size = len(orjson.dumps(shown)) + 1 + _filled_bytes_max(item)
        total += size
        if item.budget_id is not None:
            adjusted[item.budget_id] = max(size, adjusted.get(item.budget_id, 0))
    return total + sum(size + _BUDGET_BYTES for size in adjusted.values())


def _filled_bytes_max(item: BillingEventItem) -> int:
    """What completion may add to the item: a product where it has none, and a milestone's name."""
    product = _PRODUCT_BYTES if item.services_product is None else 0
    return product + (NAME_BYTES_MAX if item.category == "milestone" else 0)
