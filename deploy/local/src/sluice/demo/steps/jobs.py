"""Many events released at once: two culprits spoil their chunk, the rest is released; then the spoilt ones again."""

from typing import Any

from sluice.demo.context import Demo, codes
from sluice.demo.kafka import Facts

_ENDED = ("completed", "completed_with_errors")


async def release_in_bulk(demo: Demo) -> str:
    """Hold one event, validate, run the job, and release what a culprit had spoilt."""
    feed = demo.feed
    held, companyless = feed.parts["held"], feed.parts["companyless"]
    await demo.services.post("release", f"/billing-events/{held}/hold", {"on_hold": True})
    select = {"batch_ids": sorted({*feed.batches("job"), *feed.batches("auto")})}
    await _validate_first(demo, select)
    job = await _run(demo, {"select": select, "mode": "background", "and_invoice": False})
    expected = _expected(demo, {held: ["on_hold"], companyless: ["company_missing", "currency_missing"]})
    log = {
        entry["billing_event_id"]: entry
        for entry in await demo.services.items("release", f"/release-jobs/{job['job_id']}/log", {})
        if entry["result"] == "error"
    }
    found = {event_id: codes(entry["reasons"]) for event_id, entry in log.items()}
    demo.expect_same("the job's failures", found, expected)
    demo.expect_same("the job's status", job["status"], "completed_with_errors")
    demo.expect_same("the job's failed", job["failed"], len(expected))
    demo.note(
        "refused",
        *(
            {"billing_event_id": event_id, "by": "release job", "reasons": entry["reasons"]}
            for event_id, entry in sorted(log.items())
        ),
    )
    spoilt = [event_id for event_id, why in expected.items() if why == ["batch_failed"]]
    again = await _run(demo, {"select": {"billing_event_ids": spoilt}, "mode": "auto", "and_invoice": False})
    demo.expect_same("the second job", [again["status"], again["released"]], ["completed", len(spoilt)])
    demo.note("jobs", job, again)
    return (
        f"{job['released']} released, {job['failed']} refused for {len(expected) - len(spoilt)} culprits; "
        f"then the {again['released']} that they had spoilt"
    )


async def release_and_invoice(demo: Demo) -> str:
    """Both stages in one: what was released gets its document, what cannot be billed is said."""
    feed = demo.feed
    zero = feed.parts["zero"]
    body = {
        "select": {"batch_ids": feed.batches("and_invoice")},
        "mode": "background",
        "and_invoice": True,
    }
    job = await _run(demo, body)
    demo.expect_same("events released", job["released"], len(feed.groups["and_invoice"]))

    async def process_run_id() -> str | None:
        told = await demo.services.get("release", f"/release-jobs/{job['job_id']}")
        found: str | None = told["process_run_id"]
        return found

    run_id = await demo.services.until(process_run_id, what="the second stage of release and invoice")
    run = (await demo.fact("accounting.process-run.completed.v1", process_run_id=run_id)).body
    credit_notes = sum(feed.events[event_id].summary_amount < 0 for event_id in feed.groups["and_invoice"])
    demo.expect_same(
        "invoices, credit notes and not passed",
        [run["invoices"], run["credit_notes"], run["not_passed"]],
        [len(feed.groups["and_invoice"]) - credit_notes - 1, credit_notes, 1],
    )
    await note_not_passed(demo, run_id, expected={zero: "zero_amount"})
    demo.note("jobs", job)
    demo.note("process_runs", run)
    return f"{job['released']} released, {run['invoices']} invoices and {run['credit_notes']} credit notes"


async def note_not_passed(demo: Demo, run_id: str, *, expected: dict[str, str]) -> None:
    """Keep the reasons of a process run's events that got no document; they are what is expected."""
    found: dict[str, str] = {}

    def passed_by(facts: Facts) -> dict[str, list[dict[str, Any]]]:
        return {
            fact.body["billing_event_id"]: fact.body["reasons"]
            for fact in facts.of("accounting.billing-event.not-passed.v1")
            if fact.body["process_run_id"] == run_id
        }

    await demo.kafka.until(
        lambda facts: len(passed_by(facts)) >= len(expected), what=f"the reasons of process run {run_id}"
    )
    for event_id, reasons in passed_by(demo.kafka.facts).items():
        found[event_id] = codes(reasons)[0]
        demo.note("refused", {"billing_event_id": event_id, "by": "accounting", "reasons": reasons})
    demo.expect_same(f"not passed by process run {run_id}", found, expected)
    demo.stated.update(found)


async def _validate_first(demo: Demo, select: dict[str, Any]) -> None:
    warned = await demo.services.post("release", "/release-jobs/validate", {"select": select})
    if not warned["validated"]:
        return
    would_fail = {entry["billing_event_id"]: codes(entry["reasons"]) for entry in warned["would_fail"]}
    for part, code in (("held", "on_hold"), ("companyless", "company_missing")):
        event_id = demo.feed.parts[part]
        demo.expect(
            code in would_fail.get(event_id, []), f"the validation did not warn that {event_id} would fail"
        )


async def _run(demo: Demo, body: dict[str, Any]) -> dict[str, Any]:
    """Start a job and wait until it and all that it counts have been told."""
    job_id = (await demo.services.post("release", "/release-jobs", body))["job_id"]
    ended = (await demo.fact("release.job.completed.v1", job_id=job_id)).body
    demo.expect(ended["status"] in _ENDED, f"job {job_id} ended as {ended['status']}")
    await demo.kafka.until(
        lambda facts: (
            sum(fact.body["job_id"] == job_id for fact in facts.of("release.billing-event.released.v1"))
            >= ended["released"]
        ),
        what=f"as many released events as job {job_id} counts",
    )
    return ended


def _expected(demo: Demo, culprits: dict[str, list[str]]) -> dict[str, list[str]]:
    """The codes of every event that fails: chunks by date, then id, and all or nothing (domain.md section 2)."""
    events = demo.feed.events
    selected = [*demo.feed.groups["job"], *demo.feed.groups["auto"]]
    in_order = sorted(selected, key=lambda event_id: (events[event_id].date, event_id))
    failed: dict[str, list[str]] = {}
    for start in range(0, len(in_order), demo.batch_size):
        chunk = in_order[start : start + demo.batch_size]
        if culprits.keys() & set(chunk):
            failed |= {event_id: culprits.get(event_id, ["batch_failed"]) for event_id in chunk}
    return failed
