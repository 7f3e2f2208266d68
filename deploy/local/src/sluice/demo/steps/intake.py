"""The feed goes in: in any order, with a project that comes late, with repetitions, and with what cannot be read."""

from sluice.client import CallError
from sluice.demo.context import Demo
from sluice.demo.feed import outline
from sluice.demo.kafka import Facts

_WAITING = "incomplete"
_COMPLETE = "awaiting_release"


async def take_in(demo: Demo) -> str:
    """Send all that PSA has but one project, then that project, and see every event complete."""
    feed = demo.feed
    demo.found["came_in"] = outline(feed)
    waiting_id = feed.event("waiting").billing_event_id
    await demo.kafka.send(feed.first)

    def all_but_one(facts: Facts) -> bool:
        known = facts.billing_events
        return len(known) >= len(feed.events) and all(
            known[event_id]["stage"] == (_WAITING if event_id == waiting_id else _COMPLETE)
            and known[event_id]["version"] == event.version
            for event_id, event in feed.events.items()
            if event_id in known
        )

    await demo.kafka.until(
        all_but_one, what="the registration of all billing events", seconds=demo.wait_seconds
    )
    demo.expect_same(
        "the event whose project is missing",
        demo.kafka.facts.billing_events[waiting_id]["stage"],
        _WAITING,
    )
    await demo.kafka.send(feed.late)
    await demo.kafka.until(
        lambda facts: facts.billing_events[waiting_id]["stage"] == _COMPLETE,
        what="the completion of the event that waited for its project",
    )
    _check_completion(demo)
    return (
        f"{feed.messages} messages; {len(feed.events)} billing events complete, one of them after its project"
    )


async def repeat(demo: Demo) -> str:
    """Send a message again and an older version: nothing changes. Ask for what was deleted before it came."""
    feed = demo.feed
    before = {
        part: await demo.services.get("release", f"/billing-events/{feed.parts[part]}")
        for part in ("quick", "newer")
    }
    # A dead letter tells that what was sent before it with the same key has been read too.
    await demo.kafka.send([*feed.again, *(message for message, _ in feed.poison)])
    await demo.kafka.until(
        lambda facts: len(facts.dead_letters) >= len(feed.poison),
        what="the dead letters of what is not valid",
    )
    for part, was in before.items():
        now = await demo.services.get("release", f"/billing-events/{feed.parts[part]}")
        demo.expect(now == was, f"a repeated message has changed {feed.parts[part]}")
    newer = feed.event("newer")
    demo.expect_same("the newer version's amount", before["newer"]["summary_amount"], "120.00")
    demo.expect_same("the version that counts", before["newer"]["version"], newer.version)
    registered = sum(
        fact.body["billing_event"]["billing_event_id"] == feed.parts["quick"]
        for fact in demo.kafka.facts.of("release.billing-event.registered.v1")
    )
    demo.expect_same("how often the repeated event was registered", registered, 1)
    demo.expect(
        await _is_gone(demo), f"{feed.deleted_id} was deleted before it came, and is there all the same"
    )
    return f"nothing changed by {len(feed.again)} repetitions; {len(feed.poison)} messages put aside"


async def _is_gone(demo: Demo) -> bool:
    try:
        event = await demo.services.get("release", f"/billing-events/{demo.feed.deleted_id}")
    except CallError as error:
        return error.problem is not None and error.problem.get("code") == "not_found"
    return bool(event["stage"] == "deleted")


def _check_completion(demo: Demo) -> None:
    """Accounts, companies, currencies, products and line descriptions were found where they are."""
    for event_id, event in demo.feed.events.items():
        project = event.project
        found = demo.kafka.facts.billing_events[event_id]
        company_id = None if project.company is None else project.company.company_id
        currency = None if project.company is None else project.currency
        demo.expect_same(f"{event_id}: account", found["account_id"], project.account.account_id)
        demo.expect_same(f"{event_id}: company", found["company_id"], company_id)
        demo.expect_same(f"{event_id}: billing event currency", found["billing_event_currency"], currency)
        items = {item["item_id"]: item for item in found["items"]}
        for item in event.items:
            product = (
                items[item.item_id]["services_product"],
                items[item.item_id]["services_product_from"],
            )
            demo.expect_same(
                f"{item.item_id}: services product", product, (item.services_product, item.given_by)
            )
