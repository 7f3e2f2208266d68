"""Recalculating an event whose business records have moved on (domain.md section 2, `out_of_sync`)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from release.domain.events import BillingEvent, BillingEventItem, RecordKey
from release.domain.sources import BusinessRecord


def items_out_of_sync(
    items: Iterable[BillingEventItem], record_versions: Mapping[RecordKey, int]
) -> tuple[BillingEventItem, ...]:
    """The items whose business record is known in a later version than they name; one that names none is in sync."""
    if not record_versions:
        return ()
    return tuple(
        item
        for item in items
        if item.business_record_version is not None
        and (key := item.record_key) is not None
        and record_versions.get(key, 0) > item.business_record_version
    )


def recalculate(event: BillingEvent, records: Mapping[RecordKey, BusinessRecord]) -> BillingEvent:
    """Copy amount, quantity, unit price, description and product from the records that are later than the items name.

    What a record does not say stays as it is. Generated adjustments stay. The event is to be completed again
    afterwards, since a line description may follow.
    """
    items = tuple(_from_record(item, records) for item in event.items)
    return replace(event, items=items)


def _from_record(item: BillingEventItem, records: Mapping[RecordKey, BusinessRecord]) -> BillingEventItem:
    key = item.record_key
    record = records.get(key) if key is not None else None
    named_version = item.business_record_version
    if record is None or named_version is None or record.version <= named_version:
        return item
    product, product_from = item.services_product, item.services_product_from
    if record.services_product:
        product, product_from = record.services_product, record.key.kind
    return replace(
        item,
        business_record_version=record.version,
        amount=item.amount if record.amount is None else record.amount,
        quantity=item.quantity if record.quantity is None else record.quantity,
        unit_price=item.unit_price if record.unit_price is None else record.unit_price,
        description=item.description if record.description is None else record.description,
        services_product=product,
        services_product_from=product_from,
    )
