"""The demo's sample feed: the same seed makes the same, and what is sent is what the contract allows."""

from decimal import Decimal

import pytest

from shared.contracts.catalogue import CATALOGUE
from shared.contracts.decoding import ContractError, decode_body
from sluice.demo.feed import BUDGET_ROOM, EVENTS_MIN, REMAINING_BEFORE, Feed, make_feed, outline
from sluice.demo.items import ROUTES
from sluice.demo.world import BUDGET_AMOUNT, CAPPED_BOOKINGS


@pytest.fixture(scope="module")
def feed() -> Feed:
    """The feed as `sluice demo` makes it without options."""
    return make_feed(60, 1)


def test_the_same_seed_makes_the_same_feed(feed: Feed) -> None:
    again = make_feed(60, 1)
    assert again.first == feed.first
    assert again.poison == feed.poison
    assert again.events == feed.events
    other = make_feed(60, 2)
    assert not {event.items for event in other.events.values()} & {
        event.items for event in feed.events.values()
    }


@pytest.mark.parametrize("events", [EVENTS_MIN, 61, 300])
def test_it_has_as_many_billing_events_as_asked_for(events: int) -> None:
    assert outline(make_feed(events, 3))["billing_events"] == events
    assert all(make_feed(events, 3).groups.values())


def test_everything_is_valid_but_the_poison(feed: Feed) -> None:
    sent = [*feed.first, *feed.late, *feed.again]
    for message in sent:
        decode_body(CATALOGUE[message.type], message.value())
    broken, fractional, reused = (message for message, _ in feed.poison)
    for message in (broken, fractional):
        with pytest.raises(ContractError):
            decode_body(CATALOGUE[message.type], message.value())
    first = next(message for message in sent if message.id == reused.id)
    assert first.value() != reused.value()


def test_ids_of_messages_differ_but_for_the_repeated_one(feed: Feed) -> None:
    ids = [message.id for message in [*feed.first, *feed.late, *(message for message, _ in feed.poison[:2])]]
    assert len(set(ids)) == len(ids)
    assert feed.again[0] in feed.first


def test_products_come_from_every_link_and_all_currencies_are_there(feed: Feed) -> None:
    items = [item for event in feed.events.values() for item in event.items]
    assert {(item.category, item.given_by) for item in items} == {
        (route.category, route.given_by) for route in ROUTES
    }
    assert {event.project.currency for event in feed.events.values()} == {"GBP", "EUR", "JPY", "KWD"}
    assert any(event.summary_amount < 0 for event in feed.events.values())
    assert any(item.amount != item.quantity * item.unit_price for item in items)


def test_the_capped_project_leaves_what_the_specification_s_example_has(feed: Feed) -> None:
    assert feed.event("cap_filler").summary_amount == CAPPED_BOOKINGS - REMAINING_BEFORE
    assert [item.amount for item in feed.event("cap_split").items] == [
        Decimal(100),
        Decimal(150),
        Decimal(140),
    ]


def test_the_budget_leaves_room_for_a_part_of_the_first_item_only(feed: Feed) -> None:
    filler, split = feed.event("budget_filler"), feed.event("budget_split")
    (budget,) = split.project.budgets
    assert {item.budget_id for event in (filler, split) for item in event.items} == {budget.budget_id}
    assert filler.summary_amount == BUDGET_AMOUNT - BUDGET_ROOM
    assert split.items[0].amount > BUDGET_ROOM > split.items[1].amount
