"""One story through all services: from a message of PSA to the mail that it leads to (architecture.md, telemetry)."""

import secrets
from dataclasses import replace

from shared.telemetry.traces import ALLOWED_ATTRIBUTES
from sluice.demo.kafka import Facts
from support.outsider import Outsider
from support.traces import SeenSpan, TraceSink
from support.waiting import wait_until

SERVICES = {"release", "accounting-connector", "billing-runs", "notifier"}
SENT = "notifier.notification.sent.v1"


def in_a_trace(outsider: Outsider) -> tuple[Outsider, str]:
    """The same user, within a trace of their own; and the trace's id."""
    trace_id = secrets.token_hex(16)
    return replace(outsider, traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-01"), trace_id


async def test_bookings_that_psa_lowers_lead_to_a_mail_in_the_same_trace(
    outsider: Outsider, trace_sink: TraceSink
) -> None:
    cap = {"apply_billing_cap": True, "alert_threshold": "80", "alert_recipient": "pm@example.com"}
    await outsider.project("P-CAP", bookings="1000.00", **cap)
    event_id = await outsider.event("BE", ["100.00"], project="P-CAP")
    body = {"billing_event_id": event_id}
    await outsider.command("release.commands", "release.billing-event.release.v1", event_id, body)

    def released(facts: Facts) -> bool:
        return bool(facts.billing_events[event_id]["stage"] == "released")

    await outsider.kafka.until(released, what="the release")

    tracing, trace_id = in_a_trace(outsider)
    await tracing.project("P-CAP", version=2, bookings="110.00", **cap)
    crossed = await outsider.fact(
        "release.cap.threshold-crossed.v1", project_id=outsider.id("P-CAP"), bookings="110.00"
    )
    sent = await outsider.fact(SENT, recipient="pm@example.com", cause_id=f"cap-threshold/{crossed.id}")
    assert trace_id in crossed.headers["traceparent"]
    assert trace_id in sent.headers["traceparent"]

    async def is_told() -> bool:
        return story <= {(span.service, span.name) for span in trace_sink.spans if trace_id in span.links}

    story = {
        ("release", "process psa"),
        ("release", "send release.events"),
        ("notifier", "process facts"),
        ("notifier", "send notifier.events"),
    }
    await wait_until(is_told, what=f"{story} among the spans")


async def test_release_and_invoice_is_one_story_up_to_its_mail(
    outsider: Outsider, trace_sink: TraceSink
) -> None:
    event_id = await outsider.event("BE", ["100.00"])
    tracing, trace_id = in_a_trace(outsider)
    job_id = outsider.id("J")
    body = {"job_id": job_id, "select": {"billing_event_ids": [event_id]}, "and_invoice": True}
    await tracing.command("release.commands", "release.job.start.v1", job_id, body)
    run = await outsider.fact("accounting.process-run.completed.v1", kind="release_and_invoice")
    sent = await outsider.fact(
        SENT, recipient="outsider@example.com", cause_id=f"process-run/{run.body['process_run_id']}/ended"
    )
    invoiced = await outsider.fact("release.billing-event.invoiced.v1", billing_event_id=event_id)
    assert all(trace_id in fact.headers["traceparent"] for fact in (run, sent, invoiced))

    async def spans_of_all_services() -> list[SeenSpan]:
        spans = [span for span in trace_sink.spans if trace_id in span.links]
        return spans if {span.service for span in spans} == SERVICES else []

    for span in await wait_until(spans_of_all_services, what="spans of all services"):
        assert span.parent_id == "", "a batch has no parent among the traces that it is about"
        assert set(span.attributes) <= ALLOWED_ATTRIBUTES
        assert span.attributes["messaging.system"] == "kafka"
        assert span.attributes["messaging.batch.message_count"] >= len(span.links)
        assert all(set(link) <= ALLOWED_ATTRIBUTES for link in span.links_attributes)
