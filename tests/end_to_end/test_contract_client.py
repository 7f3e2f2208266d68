"""Any Kafka client can drive the system from the wire contract alone: its flows, by message type and order per key."""

from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from sluice.demo.kafka import Facts, Outgoing
from sluice.system import System
from support.load.calls import Calls
from support.outsider import Outsider

RELEASE = "release.commands"
ACCOUNTING = "accounting.commands"
RUNS = "billing-runs.commands"
"""Topics of commands."""

RELEASED = "release.billing-event.released.v1"
BILLED = "release.business-records.billed.v1"
REGISTERED = "release.billing-event.registered.v1"
INVOICED = "release.billing-event.invoiced.v1"
VALIDATED = "accounting.document.validated.v1"
NOT_PASSED = "accounting.billing-event.not-passed.v1"
RUN_STARTED = "accounting.process-run.started.v1"
RUN_COMPLETED = "accounting.process-run.completed.v1"


def subsequence(wanted: list[str], found: list[str]) -> bool:
    """Whether the wanted types come in this order, whatever stands between them."""
    rest = iter(found)
    return all(type_ in rest for type_ in wanted)


async def release(outsider: Outsider, event_id: str, on_cap: str = "refuse") -> None:
    body = {"billing_event_id": event_id, "on_cap": on_cap}
    await outsider.command(RELEASE, "release.billing-event.release.v1", event_id, body)


async def released(outsider: Outsider, event_id: str) -> dict[str, Any]:
    def look(facts: Facts) -> dict[str, Any] | None:
        for fact in facts.of(RELEASED):
            if fact.body["billing_event"]["billing_event_id"] == event_id:
                return fact.body
        return None

    return await outsider.kafka.until(look, what=f"the release of {event_id}")


async def document_of(outsider: Outsider, event_id: str) -> dict[str, Any]:
    def look(facts: Facts) -> dict[str, Any] | None:
        for fact in facts.of(VALIDATED):
            if event_id in fact.body["billing_event_ids"]:
                return fact.body
        return None

    return await outsider.kafka.until(look, what=f"the document of {event_id}")


async def process(outsider: Outsider, run_id: str, *, leads_to: str) -> None:
    await outsider.command(RUNS, "billing-runs.run.process.v1", run_id, {"run_id": run_id})
    await outsider.fact(
        "billing-runs.run.status-changed.v1", run_id=run_id, status=leads_to, execution="idle"
    )


async def review(outsider: Outsider, run_id: str, document_id: str, action: str, *, leads_to: str) -> None:
    body = {
        "run_id": run_id,
        "action": action,
        "select": {"document_ids": [document_id]},
        "reason": "looked at",
    }
    await outsider.command(RUNS, "billing-runs.documents.review.v1", run_id, body)
    await outsider.fact("billing-runs.document.reviewed.v1", document_id=document_id, review=leads_to)


async def test_flow_1_a_quick_release_with_split(outsider: Outsider) -> None:
    cap = {"bookings": "300.00", "apply_billing_cap": True, "auto_cap_billing": True}
    await outsider.project("P-CAP", **cap)
    event_id = await outsider.event("BE", ["100.00", "150.00", "140.00"], project="P-CAP")
    before = len(outsider.kafka.facts.in_order)

    await release(outsider, event_id)
    refused = await outsider.fact("release.billing-event.refused.v1", billing_event_id=event_id)
    assert [reason["code"] for reason in refused.body["reasons"]] == ["split_required"]
    assert refused.body["preview"]["moved_item_ids"] == [f"{event_id}-I3"]

    await release(outsider, event_id, on_cap="split")
    fact = await released(outsider, event_id)
    assert fact["cap"] == fact["cap"] | {
        "level": "project",
        "bookings": "300.00",
        "remaining_before": "300.00",
        "remaining_after": "50.00",
    }
    assert fact["starter"]["user_id"] == "outsider"
    new_id = f"{event_id}.2"
    await outsider.kafka.until(lambda facts: new_id in facts.billing_events, what="the new event")
    split = await outsider.fact("release.billing-event.split.v1", origin_id=event_id)
    assert (split.body["new_id"], split.body["root_id"]) == (new_id, event_id)
    billed = await outsider.fact(BILLED, billing_event_id=event_id)
    assert sorted((record["record_id"], record["billed"]) for record in billed.body["records"]) == [
        (f"{event_id}-T1", True),
        (f"{event_id}-T2", True),
    ]
    assert outsider.types_of("release.events", outsider.id("P-CAP"), after=before) == [
        "release.billing-event.refused.v1",
        "release.billing-event.split.v1",
        RELEASED,
        BILLED,
        REGISTERED,
    ]


async def test_flow_2_release_and_invoice(outsider: Outsider) -> None:
    good = [await outsider.event(f"BE-{number}", ["100.00"]) for number in (1, 2)]
    zero = await outsider.event("BE-3", ["50.00", "-50.00"])
    job_id = outsider.id("J")
    body = {"job_id": job_id, "select": {"billing_event_ids": [*good, zero]}, "and_invoice": True}
    before = len(outsider.kafka.facts.in_order)
    command_id = await outsider.command(RELEASE, "release.job.start.v1", job_id, body)

    job = await outsider.fact("release.job.completed.v1", job_id=job_id)
    assert (job.body["status"], job.body["released"], job.body["failed"]) == ("completed", 3, 0)
    assert outsider.types_of("release.events", job_id) == [
        "release.job.started.v1",
        "release.job.progressed.v1",
        "release.job.completed.v1",
    ]
    not_passed = await outsider.fact(NOT_PASSED, billing_event_id=zero)
    assert [reason["code"] for reason in not_passed.body["reasons"]] == ["zero_amount"]
    run_id = not_passed.body["process_run_id"]
    run = await outsider.fact(RUN_COMPLETED, process_run_id=run_id)
    assert (run.body["invoices"], run.body["credit_notes"], run.body["not_passed"]) == (2, 0, 1)
    assert run.body["totals"] == {"GBP": {"invoices": "200.00", "credit_notes": "0.00"}}
    assert run.body["starter"]["email"] == "outsider@example.com"
    run_types = outsider.types_of("accounting.events", run_id)
    assert subsequence([RUN_STARTED, RUN_COMPLETED], run_types)
    assert run_types[-1] == RUN_COMPLETED
    for event_id in good:
        document = await document_of(outsider, event_id)
        invoiced = await outsider.fact(INVOICED, billing_event_id=event_id)
        assert invoiced.body["invoice_number"] == document["number"]
        assert document["status"] == "validated"
    types = outsider.types_of("release.events", outsider.id("P"), after=before)
    assert types.count(RELEASED) == 3
    assert subsequence([RELEASED, BILLED, INVOICED], types)
    about = [fact for fact in outsider.kafka.facts.of(RELEASED) if fact.body.get("job_id") == job_id]
    assert {fact.headers["ce_correlationid"] for fact in about} <= {job_id, command_id}


async def test_flow_3_auto_pass_when_the_last_missing_thing_arrives(outsider: Outsider) -> None:
    event_id = await outsider.event("BE", ["75.00"])
    await release(outsider, event_id)
    await released(outsider, event_id)
    before = len(outsider.kafka.facts.in_order)
    assert outsider.kafka.facts.find(VALIDATED, billing_event_ids=[event_id]) is None
    fill = {"billing_event_id": event_id, "auto_pass_to_accounting": True}
    await outsider.command(RELEASE, "release.billing-event.fill.v1", event_id, fill)

    document = await document_of(outsider, event_id)
    assert (document["kind"], document["total_net"], document["billing_event_ids"]) == (
        "sales_invoice",
        "75.00",
        [event_id],
    )
    await outsider.fact(INVOICED, billing_event_id=event_id)
    run_id = document["process_run_id"]
    await outsider.fact(RUN_COMPLETED, process_run_id=run_id)
    assert outsider.types_of("accounting.events", run_id) == [
        RUN_STARTED,
        RUN_COMPLETED,
    ]
    types = outsider.types_of("release.events", outsider.id("P"), after=before)
    assert subsequence(["release.billing-event.changed.v1", INVOICED], types)


async def test_flow_4_a_billing_run_by_commands(outsider: Outsider) -> None:
    large = await outsider.event("BE-1", ["500.00"])
    small = await outsider.event("BE-2", ["5.00"])
    run_id = outsider.id("R")
    create = {
        "run_id": run_id,
        "kind": "exceptional",
        "process_type": "manual",
        "scope": {"billing_event_ids": [large, small]},
        "release_first": True,
        "threshold": {"amount": "10.00", "currency": "GBP"},
    }
    before = len(outsider.kafka.facts.in_order)
    await outsider.command(RUNS, "billing-runs.run.create.v1", run_id, create)
    await outsider.fact("billing-runs.run.created.v1", run_id=run_id)
    await process(outsider, run_id, leads_to="invoice_lines_created")
    await process(outsider, run_id, leads_to="draft_invoices")
    drafted = await outsider.fact("accounting.document.drafted.v1", billing_run_id=run_id)
    document_id = drafted.body["document_id"]
    await review(outsider, run_id, document_id, "reject", leads_to="rejected")
    await outsider.fact("billing-runs.run.status-changed.v1", run_id=run_id, status="rejected")
    await review(outsider, run_id, document_id, "accept", leads_to="draft")
    await process(outsider, run_id, leads_to="validated")

    claimed = await outsider.fact("accounting.billing-events.claimed.v1", billing_run_id=run_id)
    assert (sorted(claimed.body["claimed"]), claimed.body["refused"]) == ([large, small], [])
    not_passed = await outsider.fact(NOT_PASSED, billing_event_id=small)
    assert [reason["code"] for reason in not_passed.body["reasons"]] == ["below_threshold"]
    document = await document_of(outsider, large)
    assert (document["document_id"], document["billing_run_id"]) == (document_id, run_id)
    assert outsider.types_of("accounting.events", document_id) == [
        "accounting.document.drafted.v1",
        VALIDATED,
    ]
    await outsider.fact(INVOICED, billing_event_id=large)
    types = outsider.types_of("release.events", outsider.id("P"), after=before)
    assert types.count(RELEASED) == 2
    assert types.count(INVOICED) == 1
    run_types = outsider.types_of("billing-runs.events", run_id)
    assert run_types[0] == "billing-runs.run.created.v1"
    assert run_types.count("billing-runs.run.step-started.v1") == run_types.count(
        "billing-runs.run.step-completed.v1"
    )
    assert "billing-runs.run.step-failed.v1" not in run_types


async def test_flow_5_a_release_is_undone(outsider: Outsider) -> None:
    event_id = await outsider.event("BE", ["80.00"], auto_pass_to_accounting=True)
    await release(outsider, event_id)
    invoice = await document_of(outsider, event_id)
    await outsider.fact(INVOICED, billing_event_id=event_id)
    await outsider.command(
        RELEASE, "release.billing-event.revert.v1", event_id, {"billing_event_id": event_id, "cascade": False}
    )
    withdrawn = await outsider.fact("accounting.billing-event.withdrawn.v1", billing_event_id=event_id)
    assert (withdrawn.body["outcome"], withdrawn.body["document_id"]) == ("mirrored", invoice["document_id"])
    await outsider.fact("release.billing-event.reverted.v1", billing_event_id=event_id)
    given_back = await outsider.fact(BILLED, billing_event_id=event_id)
    assert [record["billed"] for record in given_back.body["records"]] == [False]
    mirror_id = withdrawn.body["mirror_document_id"]
    mirror = await outsider.fact(VALIDATED, document_id=mirror_id)
    assert (mirror.body["kind"], mirror.body["total_net"]) == ("sales_credit_note", "80.00")


async def test_what_a_transaction_aborts_is_neither_released_nor_billed(
    outsider: Outsider, system: System
) -> None:
    broker = system.infrastructure.broker
    if not broker.is_idempotent:
        pytest.skip("this broker has no transactions")
    kept, aborted = outsider.id("KEPT"), outsider.id("ABORTED")
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, transactional_id=outsider.code, compression_type="lz4"
    )
    async with producer:
        for name in ("ABORTED", "KEPT"):
            event_id = outsider.id(name)
            command = Outgoing(
                RELEASE,
                event_id,
                "release.billing-event.release.v1",
                f"release-{event_id}",
                {"billing_event_id": event_id, "on_cap": "refuse"},
            )
            generated = outsider.generated(name, ["100.00"], auto_pass_to_accounting=True)
            await producer.begin_transaction()
            for message in [*generated, command]:
                await producer.send(
                    message.topic, message.value(), key=message.key.encode(), headers=message.headers()
                )
            await (producer.commit_transaction() if event_id == kept else producer.abort_transaction())

    await released(outsider, kept)
    await document_of(outsider, kept)
    assert [fact.type for fact in outsider.kafka.facts.in_order if aborted in str(fact.body)] == []
    async with Calls(system) as calls:
        books = await calls.until_answered("release", "GET", "/reconciliation", statuses={200})
        assert books.json()["balanced"], books.json()
