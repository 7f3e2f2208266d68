"""A release undone after its invoice: the document is taken back, the cap too, the records are billable again."""

from typing import Any, Final

from sluice.demo.arithmetic import total, written
from sluice.demo.context import Demo
from sluice.demo.feed import REMAINING_AFTER
from sluice.demo.steps.quick_release import release_one

_INVOICED: Final = "release.billing-event.invoiced.v1"
_REVERTED: Final = "release.billing-event.reverted.v1"
_BILLED: Final = "release.business-records.billed.v1"


async def revert_an_invoiced_one(demo: Demo) -> str:
    """Release what is left of the cap, invoice it, and undo both."""
    event = demo.feed.event("undone")
    event_id, project = event.billing_event_id, event.project
    none, all_of_it = (written(amount, project.currency) for amount in (total([]), REMAINING_AFTER))
    await release_one(demo, event_id, on_cap="refuse")
    started = await demo.services.post(
        "accounting-connector", "/process-runs", {"select": {"billing_event_ids": [event_id]}}
    )
    run = await demo.fact("accounting.process-run.completed.v1", process_run_id=started["process_run_id"])
    demo.note("process_runs", run.body)
    invoiced = (await demo.fact(_INVOICED, billing_event_id=event_id)).body
    left = [await _remaining(demo, project.project_id)]
    demo.expect_same("left of the cap before the revert", left, [none])
    plan = await demo.services.post("release", f"/billing-events/{event_id}/revert", {"cascade": False})
    demo.expect_same("a revert under way", plan["stage"], "reverting")
    reverted = (await demo.fact(_REVERTED, billing_event_id=event_id)).body
    mirror = (
        await demo.fact("accounting.document.validated.v1", document_id=reverted["mirror_document_id"])
    ).body
    demo.expect_same("what the mirror takes back", mirror["mirrors_document_id"], invoiced["document_id"])
    left.append(await _remaining(demo, project.project_id))
    demo.expect_same("left of the cap after the revert", left[-1], all_of_it)
    after = await demo.services.get("release", f"/billing-events/{event_id}")
    demo.expect_same("the reverted event", [after["stage"], after["released"]], ["reverted", False])
    freed = (await demo.fact(_BILLED, billing_event_id=event_id)).body["records"]
    demo.expect_same(
        "records that are billable again", [record["billed"] for record in freed], [False] * len(event.items)
    )
    demo.found["revert"] = {
        "billing_event_id": event_id,
        "invoice_number": invoiced["invoice_number"],
        "taken_back_by": mirror["number"],
        "remaining": {"before": left[0], "after": left[1]},
        "records": freed,
    }
    return (
        f"{event_id}: {invoiced['invoice_number']} taken back by {mirror['number']}, {all_of_it} left again"
    )


async def _remaining(demo: Demo, project_id: str) -> Any:
    return (await demo.services.get("release", f"/projects/{project_id}/cap"))["remaining"]
