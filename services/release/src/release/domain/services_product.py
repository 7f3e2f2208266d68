"""The services product of an item, the first one set along its chain (domain.md section 1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from release.domain.events import BillingEventItem
from release.domain.sources import KnownSources, Source

CHAINS: Final[Mapping[str, tuple[str, ...]]] = {
    "expense": ("expense", "expense_report", "assignment", "milestone"),
    "timecard": ("timecard", "assignment", "milestone"),
    "milestone": ("milestone",),
    "miscellaneous_adjustment": ("miscellaneous_adjustment",),
    "budget": ("budget",),
}
"""By an item's category: the kinds of record that its product may come from, in order; the project is last in each."""
_WHOLE_CHAIN: Final = CHAINS["expense"]


@dataclass(frozen=True, slots=True)
class ChainWalk:
    """What a walk along an item's chain found.

    `services_product` and `given_by` (the kind of the link that gave it) are None if nothing was found, or not yet;
    `waits_for` is the record that has to arrive before the walk can go on; `passed` are the records that were asked.
    """

    services_product: str | None
    given_by: str | None
    waits_for: Source | None
    passed: tuple[Source, ...]


def walk_chain(item: BillingEventItem, known: KnownSources) -> ChainWalk:
    """Find the first services product along the item's chain (domain.md section 1).

    A link that is absent is skipped; a parent of a kind that does not follow in the chain ends it, and then the project
    is asked. A record that is known to be of another kind than the item's category is followed as what it is. While the
    project is not known nothing is found there: its arrival is waited for by the event itself.
    """
    passed: list[Source] = []
    key = item.record_key
    if key is not None and (other := known.other_kinds.get(key)) is not None:
        passed.append(Source(key.kind, key.record_id))
        key = other.key
    chain = CHAINS.get(key.kind if key is not None else item.category, _WHOLE_CHAIN)
    while key is not None:
        link = Source(key.kind, key.record_id)
        passed.append(link)
        record = known.records.get(key)
        if record is None:
            return ChainWalk(None, None, link, tuple(passed))
        if record.services_product:
            return ChainWalk(record.services_product, key.kind, None, tuple(passed))
        following = chain[chain.index(key.kind) + 1 :]
        key = record.parent if record.parent is not None and record.parent.kind in following else None
    if known.project is not None and known.project.services_product:
        return ChainWalk(known.project.services_product, "project", None, tuple(passed))
    return ChainWalk(None, None, None, tuple(passed))
