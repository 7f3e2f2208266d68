"""Documents outside of billing runs: by themselves as soon as an event is eligible, and on demand."""

from sluice.demo.context import Demo
from sluice.demo.kafka import Facts
from sluice.demo.steps.jobs import note_not_passed

_VALIDATED = "accounting.document.validated.v1"
_COMPLETED = "accounting.process-run.completed.v1"


async def pass_by_itself(demo: Demo) -> str:
    """A flagged event gets its document because it is released; those that the jobs released have theirs as well."""
    feed = demo.feed
    single = feed.parts["auto_single"]
    await demo.command(
        "release.billing-event.release.v1",
        single,
        {"billing_event_id": single, "on_cap": "refuse"},
        topic="release.commands",
    )
    flagged = {single, *feed.groups["auto"]}
    await demo.kafka.until(
        lambda facts: flagged <= billed(facts), what="the documents of auto-pass", seconds=demo.wait_seconds
    )
    runs = {
        fact.body["process_run_id"]: fact.body
        for fact in demo.kafka.facts.of(_VALIDATED)
        if flagged & set(fact.body["billing_event_ids"]) and fact.body.get("process_run_id")
    }
    demo.expect(bool(runs), "the documents of auto-pass do not name their process run")
    told = [(await demo.fact(_COMPLETED, process_run_id=run_id)).body for run_id in sorted(runs)]
    demo.expect_same(
        "documents of auto-pass", sum(run["invoices"] + run["credit_notes"] for run in told), len(flagged)
    )
    demo.note("process_runs", *told)
    return f"{len(flagged)} flagged events have their documents, by {len(told)} process runs"


async def create_on_demand(demo: Demo) -> str:
    """Create invoices and credits of all that was released so far and has none."""
    feed = demo.feed
    parts = (
        "quick",
        "waiting",
        "below_threshold",
        "over_threshold",
        "by_command",
        "cap_filler",
        "cap_split",
        "budget_filler",
        "budget_split",
    )
    held_back = {feed.parts["held"], feed.parts["companyless"]}
    event_ids = [feed.parts[part] for part in parts]
    event_ids += [event_id for event_id in feed.groups["job"] if event_id not in held_back]
    eligibility = await demo.services.get(
        "accounting-connector", f"/billing-events/{event_ids[0]}/eligibility"
    )
    demo.expect_same(f"{event_ids[0]}: eligible", eligibility["eligible"], True)
    started = await demo.services.post(
        "accounting-connector", "/process-runs", {"select": {"billing_event_ids": event_ids}}
    )
    run_id = started["process_run_id"]
    run = (await demo.fact(_COMPLETED, process_run_id=run_id)).body
    credit_notes = sum(feed.events[event_id].summary_amount < 0 for event_id in event_ids)
    demo.expect_same(
        "created on demand",
        [run["invoices"], run["credit_notes"], run["not_passed"]],
        [len(event_ids) - credit_notes, credit_notes, 0],
    )
    await note_not_passed(demo, run_id, expected={})
    demo.note("process_runs", run)
    return f"{run['invoices']} invoices and {run['credit_notes']} credit notes"


def billed(facts: Facts) -> set[str]:
    """The events that have a validated document."""
    return {event_id for fact in facts.of(_VALIDATED) for event_id in fact.body["billing_event_ids"]}
