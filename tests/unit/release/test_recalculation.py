"""Recalculating an event whose business records have moved on (domain.md section 2)."""

from decimal import Decimal

from release.domain.events import RecordKey
from release.domain.recalculation import items_out_of_sync, recalculate
from release.domain.sources import BusinessRecord
from unit.release.builders import make_event, make_item

KEY = RecordKey("timecard", "T-i1")


def record(version: int, **given: object) -> BusinessRecord:
    defaults = {
        "description": "Two days",
        "quantity": Decimal(2),
        "unit_price": Decimal(60),
        "amount": Decimal(120),
    }
    fields = {**defaults, **given}
    return BusinessRecord(KEY, version, None, fields.pop("services_product", "New"), "Week 12", **fields)  # type: ignore[arg-type]


def test_a_later_record_is_copied_and_the_event_is_in_sync_again() -> None:
    event = make_event(make_item("i1", "100"), make_item("i2", "50"))
    assert [item.item_id for item in items_out_of_sync(event.items, {KEY: 3})] == ["i1"]
    recalculated = recalculate(event, {KEY: record(3)})
    changed, untouched = recalculated.items
    assert (changed.amount, changed.quantity, changed.unit_price, changed.description) == (
        Decimal(120),
        Decimal(2),
        Decimal(60),
        "Two days",
    )
    assert (changed.services_product, changed.services_product_from) == ("New", "timecard")
    assert changed.business_record_version == 3
    assert untouched == event.items[1]
    assert items_out_of_sync(recalculated.items, {KEY: 3}) == ()


def test_what_the_record_does_not_say_stays() -> None:
    event = make_event(make_item("i1", "100"))
    bare = record(2, description=None, quantity=None, unit_price=None, amount=None, services_product=None)
    (item,) = recalculate(event, {KEY: bare}).items
    assert item.business_record_version == 2
    assert (item.amount, item.quantity, item.description) == (Decimal(100), Decimal(1), "Work i1")
    assert (item.services_product, item.services_product_from) == ("Consulting", None)


def test_an_equal_or_older_record_and_an_adjustment_change_nothing() -> None:
    event = make_event(make_item("i1", "100", business_record_version=3))
    assert recalculate(event, {KEY: record(3)}) == event
    assert recalculate(event, {KEY: record(2)}) == event
    adjustment = make_event(make_item("i1", "-50", category="miscellaneous_adjustment", adjusts_item_id="i0"))
    other = BusinessRecord(
        RecordKey("miscellaneous_adjustment", "T-i1"), 9, None, None, None, amount=Decimal(1)
    )
    assert recalculate(adjustment, {other.key: other}) == adjustment
    assert items_out_of_sync(adjustment.items, {other.key: 9}) == ()
