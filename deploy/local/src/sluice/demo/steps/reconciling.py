"""Whether the books balance: what the services say of theirs, and what the demo finds by its own arithmetic."""

from typing import Any, Final

from sluice.demo.books import Check, Released, check_books, released_totals, totals_by_currency
from sluice.demo.context import Demo
from sluice.demo.kafka import Facts
from sluice.demo.steps.passing import billed

_WITH_BOOKS: Final = ("release", "accounting-connector")
_VALIDATED: Final = "accounting.document.validated.v1"


async def reconcile(demo: Demo) -> str:
    """Ask both services, and compare what was released with what was billed."""
    await _until_written_back(demo)
    own_companies = {company.company_id for company in demo.feed.world.companies}
    validated = [fact.body for fact in demo.kafka.facts.of(_VALIDATED)]
    documents = [document for document in validated if document["company"]["id"] in own_companies]
    released = _released(demo)
    checks = check_books(released, documents, demo.stated, reverted=reverted_ids(demo.kafka.facts))
    checks.append(Check("facts_equal_answers", await _compare_answers(demo, documents)))
    checks.append(Check("written_back", await _compare_written_back(demo, released, documents)))
    checks.append(Check("nothing_lost", _compare_intake(demo)))
    own = {"balanced": not any(check.differences for check in checks), "checks": [c.shown() for c in checks]}
    reports = {service: await demo.services.get(service, "/reconciliation") for service in _WITH_BOOKS}
    reports["demo"] = own
    for name, report in reports.items():
        for check in report["checks"]:
            demo.expect(
                check["balanced"], f"the books of {name}: {check['check']}: {check['differences'][:5]}"
            )
        demo.expect(report["balanced"], f"the books of {name} do not balance")
    demo.found["released"] = [_shown(demo, event) for event in released]
    demo.found["released_totals"] = released_totals(released)
    demo.found["documents"] = sorted(
        documents, key=lambda each: (each["company"]["id"], each["kind"], each["number"])
    )
    demo.found["totals"] = totals_by_currency(documents)
    demo.found["books"] = reports
    return f"{len(released)} events released, {len(documents)} documents"


async def _until_written_back(demo: Demo) -> None:
    """A document is known to the release service a moment after it is to us."""
    await demo.kafka.until(
        lambda facts: (
            {fact.body["billing_event_id"] for fact in facts.of("release.billing-event.invoiced.v1")}
            >= billed(facts)
        ),
        what="the write-back of all documents",
        seconds=demo.wait_seconds,
    )


def reverted_ids(facts: Facts) -> set[str]:
    """The events whose release was undone."""
    return {fact.body["billing_event_id"] for fact in facts.of("release.billing-event.reverted.v1")}


def _released(demo: Demo) -> list[Released]:
    """Every event that is released and stays so, with the demo's own figures of the items that its fact names."""
    items = {item.item_id: item for event in demo.feed.events.values() for item in event.items}
    items |= demo.adjustments
    undone = reverted_ids(demo.kafka.facts)
    return [
        Released(
            event_id,
            demo.feed.events[event_id].project,
            tuple(
                items[item["item_id"]]
                for item in fact.body["billing_event"]["items"]
                if item["item_id"] not in demo.left_out
            ),
        )
        for fact in demo.kafka.facts.of("release.billing-event.released.v1")
        if (event_id := fact.body["billing_event"]["billing_event_id"]) in demo.feed.events.keys() - undone
    ]


def _shown(demo: Demo, event: Released) -> dict[str, Any]:
    body = demo.kafka.facts.billing_events[event.billing_event_id]
    return {
        "billing_event_id": event.billing_event_id,
        "project_id": event.project.project_id,
        "currency": event.project.currency,
        "amount": body["summary_amount"],
        "items": len(event.items),
        "no_document_because": demo.stated.get(event.billing_event_id),
    }


async def _compare_answers(demo: Demo, documents: list[dict[str, Any]]) -> list[str]:
    """Over HTTP there are the same documents as on Kafka."""
    own = [account.account_id for account in demo.feed.world.accounts]
    answered: dict[str, tuple[str, ...]] = {}
    for account_id in own:
        listed = await demo.services.items(
            "accounting-connector", "/documents", {"account_id": account_id, "status": "validated"}
        )
        answered |= {document["document_id"]: _head(document) for document in listed}
    told = {document["document_id"]: _head(document) for document in documents}
    return [
        f"document {document_id}: told {told.get(document_id)}, answered {answered.get(document_id)}"
        for document_id in sorted({*told, *answered})
        if told.get(document_id) != answered.get(document_id)
    ]


def _head(document: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        str(document[name]) for name in ("number", "kind", "date", "currency", "total_net", "total_gross")
    )


async def _compare_written_back(
    demo: Demo, released: list[Released], documents: list[dict[str, Any]]
) -> list[str]:
    """The release service names each event's document, or none."""
    expected = {
        event_id: (document["number"], document["date"], document["document_id"])
        for document in documents
        for event_id in document["billing_event_ids"]
    }
    found = {}
    for project in demo.feed.world.projects.values():
        for event in await demo.services.items(
            "release", "/billing-events", {"project_id": project.project_id}
        ):
            found[event["billing_event_id"]] = tuple(
                event[name] for name in ("invoice_number", "invoice_date", "document_id")
            )
    return [
        f"{event.billing_event_id}: the release service says {found.get(event.billing_event_id)}"
        for event in released
        if found.get(event.billing_event_id) != expected.get(event.billing_event_id, (None, None, None))
    ]


def _compare_intake(demo: Demo) -> list[str]:
    """What PSA sent is what is stored, and what is among the dead letters."""
    stored = set(demo.kafka.facts.billing_events)
    differences = [f"{event_id} is not stored" for event_id in sorted(demo.feed.events.keys() - stored)]
    aside, sent = len(demo.kafka.facts.dead_letters), len(demo.feed.poison)
    if aside != sent:
        differences.append(f"{aside} dead letters, of {sent} messages that cannot be taken")
    return differences
