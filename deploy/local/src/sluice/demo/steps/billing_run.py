"""A billing run by hand, from new to validated: lines, drafts, a review with a quarantine, validation of both runs."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sluice.demo.context import Demo
from sluice.demo.feed import SMALL_AMOUNT
from sluice.demo.steps.jobs import note_not_passed
from sluice.demo.steps.setting_up import RULE_CODE

_THRESHOLD: Final = "10.00"
_RUNS: Final = "billing-runs"


async def run_by_hand(demo: Demo) -> str:
    """Create a run over one account that releases first, and do its steps one by one."""
    feed = demo.feed
    rail = feed.world.projects["rail"]
    wanted = {
        "run_id": None,
        "kind": "exceptional",
        "process_type": "manual",
        "scope": {"filter": {"account_id": rail.account.account_id}},
        "invoice_date": None,
        "collection_date": None,
        "grouping": "billing_event",
        "release_first": True,
        "threshold": {"amount": _THRESHOLD, "currency": rail.currency},
        "description": "November, by hand",
    }
    run = await demo.services.post(_RUNS, "/billing-runs", wanted)
    run_id = run["run_id"]
    demo.expect_same("a new run", [run["status"], run["execution"]], ["new", "idle"])
    statuses = [run["status"]]
    preview = await demo.services.get(_RUNS, f"/billing-runs/{run_id}/statistics")
    demo.expect_same("a new run's statistics are a preview", preview["preview"], True)
    statuses += [await _process(demo, run_id, "invoice_lines_created")]
    statuses += [await _process(demo, run_id, "rejected")]
    quarantine_run_id = await _quarantine_what_is_rejected(demo, run_id)
    statuses += [await _status(demo, run_id, "draft_invoices")]
    statuses += await _reject_and_accept_one(demo, run_id)
    statuses += [await _process(demo, run_id, "validated")]
    quarantined = await _release_from_quarantine(demo, quarantine_run_id)
    small, in_run = feed.parts["small"], len(feed.groups["run"])
    assert feed.events[small].summary_amount == SMALL_AMOUNT
    await _note_below_threshold(demo, small)
    documents = await demo.services.items(_RUNS, f"/billing-runs/{run_id}/documents", {})
    demo.expect_same("the run's documents", sorted({d["review"] for d in documents}), ["validated"])
    demo.expect_same("how many documents the run has", len(documents), in_run - 2)
    executions = await demo.services.get(_RUNS, f"/billing-runs/{run_id}/executions")
    statistics = await demo.services.get(_RUNS, f"/billing-runs/{run_id}/statistics")
    demo.found["billing_run"] = {
        "run_id": run_id,
        "description": run["description"],
        "statuses": statuses,
        "documents": len(documents),
        "below_threshold": [small],
        "executions": executions["items"],
        "statistics": statistics,
        "quarantine": quarantined,
    }
    return f"{run_id}: {' → '.join(statuses)}, {len(documents)} documents, and {quarantined['documents']} by quarantine"


async def _process(demo: Demo, run_id: str, leads_to: str) -> str:
    """Do the run's next step and wait until it has ended where it should."""
    await demo.services.post(_RUNS, f"/billing-runs/{run_id}/process", {})
    ended = await _until_idle(demo, run_id)
    demo.expect_same(f"run {run_id} after a step", [ended["status"], ended["execution"]], [leads_to, "idle"])
    return str(ended["status"])


async def _until_idle(demo: Demo, run_id: str) -> dict[str, Any]:
    async def ended() -> dict[str, Any] | None:
        run: dict[str, Any] = await demo.services.get(_RUNS, f"/billing-runs/{run_id}")
        return run if run["execution"] in {"idle", "failed"} else None

    return await demo.services.until(
        ended, what=f"the end of a step of run {run_id}", seconds=demo.wait_seconds
    )


async def _status(demo: Demo, run_id: str, expected: str) -> str:
    """Where the run rests after a review, which must be there."""
    run = await _until_idle(demo, run_id)
    demo.expect_same(f"run {run_id} after a review", [run["status"], run["execution"]], [expected, "idle"])
    return str(run["status"])


async def _review(
    demo: Demo, run_id: str, documents: Sequence[Mapping[str, Any]], action: str, reason: str
) -> None:
    """Decide on documents, all of which must take it; it goes into the report."""
    select = {"document_ids": [document["document_id"] for document in documents]}
    body = {"action": action, "select": select, "reason": reason}
    answer = await demo.services.post(_RUNS, f"/billing-runs/{run_id}/documents/review", body)
    results = [result["result"] for result in answer["results"]]
    demo.expect_same(f"the answer to {action}", results, ["done"] * len(documents))
    demo.found.setdefault("review", []).extend(
        {
            "run_id": run_id,
            "document_id": document["document_id"],
            "amount": f"{document['total_net']} {document['currency']}",
            "findings": document["findings"],
            "action": action,
            "reason": reason,
        }
        for document in documents
    )


async def _quarantine_what_is_rejected(demo: Demo, run_id: str) -> str:
    """The rule rejects the large invoice; it is set aside, so that the others can go out today."""
    rejected = await demo.services.items(_RUNS, f"/billing-runs/{run_id}/documents", {"review": "rejected"})
    rules = [finding["rule"] for document in rejected for finding in document["findings"]]
    demo.expect_same("what rejected the large invoice", [len(rejected), rules], [1, [RULE_CODE]])
    await _review(demo, run_id, rejected, "quarantine", "to be agreed with the customer")
    run = await demo.services.get(_RUNS, f"/billing-runs/{run_id}")
    quarantine = await demo.services.get(_RUNS, f"/billing-runs/{run['quarantine_run_id']}")
    demo.expect_same(
        "the quarantine run", [quarantine["status"], quarantine["quarantine_of"]], ["rejected", run_id]
    )
    return str(quarantine["run_id"])


async def _reject_and_accept_one(demo: Demo, run_id: str) -> list[str]:
    """Somebody doubts an invoice, which holds the run up, and takes it back."""
    [doubted, *_] = await demo.services.items(_RUNS, f"/billing-runs/{run_id}/documents", {})
    await _review(demo, run_id, [doubted], "reject", "is the reference right?")
    statuses = [await _status(demo, run_id, "rejected")]
    await _review(demo, run_id, [doubted], "accept", "it is")
    return [*statuses, await _status(demo, run_id, "draft_invoices")]


async def _release_from_quarantine(demo: Demo, run_id: str) -> dict[str, Any]:
    """The customer has agreed: the large invoice is accepted, and its run does its last step."""
    documents = await demo.services.items(_RUNS, f"/billing-runs/{run_id}/documents", {})
    await _review(demo, run_id, documents, "accept", "agreed with the customer")
    statuses = ["rejected", await _status(demo, run_id, "draft_invoices")]
    statuses += [await _process(demo, run_id, "validated")]
    executions = await demo.services.get(_RUNS, f"/billing-runs/{run_id}/executions")
    return {
        "run_id": run_id,
        "statuses": statuses,
        "documents": len(documents),
        "executions": executions["items"],
    }


async def _note_below_threshold(demo: Demo, small: str) -> None:
    """The smallest event is released, and not worth an invoice: it is free again, and said to be."""
    fact = await demo.fact("accounting.billing-event.not-passed.v1", billing_event_id=small)
    await note_not_passed(demo, fact.body["process_run_id"], expected={small: "below_threshold"})
