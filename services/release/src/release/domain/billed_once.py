"""Billed once: no item in two released events, no record for more than it is worth (domain.md section 2)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from release.domain.billed import Billed, BilledRecord, Billing, billings_of
from release.domain.events import BillingEvent, BillingEventItem, RecordKey
from release.domain.reasons import Reason, show
from shared.money import ZERO, format_amount, format_number, has_only_minor_units

GUARDED_KINDS: Final = frozenset({"timecard", "expense", "milestone", "miscellaneous_adjustment"})
"""Kinds of records that are billed for no more than they are worth; budgets are held by their caps."""

RECORD_ALREADY_BILLED: Final = "record_already_billed"
GUARD_CODES: Final = frozenset({"item_already_billed", RECORD_ALREADY_BILLED})
"""What `RECORD_GUARD` is about: refused, or by its setting released and told as an alert."""

NAMED_MAX: Final = 5
"""Most items or records that a sentence names; the details hold more."""
EVENTS_MAX: Final = 20
"""Most events that a detail names as those that bill a record."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What some items of an event bill, and whether they may.

    `refusal` says that records would be billed twice; `warnings` that a single item is above its record's amount.
    """

    billings: tuple[Billing, ...]
    refusal: Reason | None = None
    warnings: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class _Finding:
    """One record that these items may not bill, or bill for more than it is worth: in a sentence and in detail."""

    sentence: str
    detail: Mapping[str, object]


def items_billed_elsewhere(event: BillingEvent, billed: Billed) -> Reason | None:
    """`item_already_billed`: item ids of the event that stand in another released one."""
    found = [
        (item.item_id, held.billing_event_id)
        for item in event.items
        if (held := billed.items.get(item.item_id)) is not None
        and held.billing_event_id != event.billing_event_id
    ]
    if not found:
        return None
    sentences = [f"Item {item_id} is already billed by billing event {holder}." for item_id, holder in found]
    return Reason(
        "item_already_billed",
        _sentences(sentences),
        {"items": [{"item_id": item_id, "billing_event_id": holder} for item_id, holder in found]},
    )


def judge_records(event: BillingEvent, items: Sequence[BillingEventItem], billed: Billed) -> Judgement:
    """Judge what these items of the event, those that would be released, bill of their records."""
    plain: dict[RecordKey, BillingEventItem] = {}
    counts: Counter[RecordKey] = Counter()
    for item in items:
        if (key := item.record_key) is not None:
            plain[key] = item
            counts[key] += 1
    billings: list[Billing] = []
    twice: list[_Finding] = []
    above: list[_Finding] = []
    for billing in billings_of(event, items):
        key = billing.record
        if key.kind in GUARDED_KINDS:
            record = billed.record(key)
            single = plain[key] if counts[key] == 1 else None
            if single is not None and _is_above(single.amount, billing, record):
                billing = replace(billing, limit=single.amount)  # noqa: PLW2901 - the billing, with its limit
                above.append(_above(single, billing, record))
            elif (why := _why_refused(billing, record)) is not None:
                twice.append(_refused(why, billing, record))
        billings.append(billing)
    if not twice and not above:
        return Judgement(tuple(billings))
    warning = _reason("amount_above_record", above)
    return Judgement(
        tuple(billings), _reason(RECORD_ALREADY_BILLED, twice), () if warning is None else (warning,)
    )


def records_of(reason: Reason) -> list[RecordKey]:
    """The records that a reason of this module is about."""
    found = reason.detail["records"]
    assert isinstance(found, list)
    return [RecordKey(each["kind"], each["record_id"]) for each in found]


def _is_above(amount: Decimal, billing: Billing, record: BilledRecord) -> bool:
    """Whether a single item is above its record's amount while nothing else is billed on the record."""
    return not record.stays_billed and record.amount is not None and _passes(amount, record, billing.currency)


def _passes(total: Decimal, record: BilledRecord, currency: str) -> bool:
    """Whether a total is more than the record is worth: above an amount of 0 or more, below one of less."""
    worth = _worth(record, currency)
    if worth is None:
        return False
    return total < worth if worth < ZERO else total > worth


def _worth(record: BilledRecord, currency: str) -> Decimal | None:
    """The known amount, or the limit that a single item above it has set."""
    amount, limit = record.amount, record.limits.get(currency)
    if amount is None or limit is None or (limit < ZERO) != (amount < ZERO):
        return amount
    return min(amount, limit) if amount < ZERO else max(amount, limit)


def _why_refused(billing: Billing, record: BilledRecord) -> str | None:
    """What speaks against billing this: `currency`, `amount`, `lineage`, or None.

    What takes the record's sum no further from 0 is always allowed. A record of which nothing stays billed, since it
    was credited in full, is billed anew like one that never was.
    """
    before = record.sum_in(billing.currency)
    after = before + billing.amount
    if abs(after) <= abs(before):
        return None
    if any(amount != ZERO for currency, amount in record.sums.items() if currency != billing.currency):
        return "currency"
    if record.amount is not None:
        return "amount" if _passes(after, record, billing.currency) else None
    if before == ZERO:
        return None
    charged = [
        other
        for other in record.billings
        if other.root_id != billing.root_id
        and other.amount != ZERO
        and (other.amount < ZERO) == (after < ZERO)
    ]
    return "lineage" if charged else None


def _refused(why: str, billing: Billing, record: BilledRecord) -> _Finding:
    currency = billing.currency
    billed = [show(amount, each) for each, amount in sorted(record.sums.items()) if amount != ZERO] or [
        show(ZERO, currency)
    ]
    event_ids = _event_ids(record)
    by = f" by {', '.join(event_ids[:NAMED_MAX])}" if event_ids else ""
    worth = _worth(record, currency)
    is_worth = "" if worth is None else f" is worth {_number(worth, currency)} {currency};"
    cause = {
        "amount": f"{show(billing.amount, currency)} more would pass that",
        "lineage": "its amount is not known, so another billing event may not bill it",
        "currency": f"it may not be billed in {currency} too",
    }[why]
    name = _name(billing.record)
    verb = (
        f"{is_worth} {', '.join(billed)} of it is billed{by}"
        if is_worth
        else f" is billed for {', '.join(billed)}{by}"
    )
    return _Finding(f"{name}{verb}: {cause}.", {**_detail(billing, record), "why": why})


def _above(item: BillingEventItem, billing: Billing, record: BilledRecord) -> _Finding:
    currency = billing.currency
    worth = ZERO if record.amount is None else record.amount
    sentence = (
        f"Item {item.item_id} bills {show(item.amount, currency)} of {_kind(billing.record)} "
        f"{billing.record.record_id}, which is worth {_number(worth, currency)} {currency}."
    )
    return _Finding(sentence, {"item_id": item.item_id, **_detail(billing, record)})


def _detail(billing: Billing, record: BilledRecord) -> dict[str, object]:
    currency = billing.currency
    worth = _worth(record, currency)
    return {
        "kind": billing.record.kind,
        "record_id": billing.record.record_id,
        "currency": currency,
        "amount": None if worth is None else _number(worth, currency),
        "billed": {
            each: format_amount(amount, each)
            for each, amount in sorted(record.sums.items())
            if amount != ZERO
        },
        "asked": format_amount(billing.amount, currency),
        "billing_event_ids": _event_ids(record)[:EVENTS_MAX],
    }


def _event_ids(record: BilledRecord) -> list[str]:
    return list(dict.fromkeys(each.billing_event_id for each in record.billings if each.amount != ZERO))


def _name(key: RecordKey) -> str:
    return f"{_kind(key).capitalize()} {key.record_id}"


def _kind(key: RecordKey) -> str:
    return key.kind.replace("_", " ")


def _number(worth: Decimal, currency: str) -> str:
    """A record's amount; a record names no currency, so that it may have more digits than the event's has."""
    return format_amount(worth, currency) if has_only_minor_units(worth, currency) else format_number(worth)


def _reason(code: str, findings: Sequence[_Finding]) -> Reason | None:
    if not findings:
        return None
    return Reason(
        code,
        _sentences([finding.sentence for finding in findings]),
        {"records": [dict(finding.detail) for finding in findings]},
    )


def _sentences(sentences: Iterable[str]) -> str:
    """The first of these sentences, and how many more there are."""
    every = list(sentences)
    more = len(every) - NAMED_MAX
    return " ".join([*every[:NAMED_MAX], *([f"And {more} more."] if more > 0 else [])])
