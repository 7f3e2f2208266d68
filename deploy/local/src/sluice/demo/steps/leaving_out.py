"""An item that its company's criterion leaves out of a document: told, and moved to a new event to be billed later."""

from typing import Any, Final

from sluice.demo.arithmetic import written
from sluice.demo.context import Demo, codes
from sluice.demo.steps.quick_release import release_one
from sluice.demo.world import ITEM_CRITERION

_LEFT_OUT: Final = "release.billing-event.left-out.v1"


async def leave_out_and_move(demo: Demo) -> str:
    """Invoice an event with warranty work: the invoice leaves that out, and what it leaves out is moved."""
    event = demo.feed.event("left_out")
    event_id, currency = event.billing_event_id, event.project.currency
    billed, left_out = event.items
    await release_one(demo, event_id, on_cap="refuse")
    started = await demo.services.post(
        "accounting-connector", "/process-runs", {"select": {"billing_event_ids": [event_id]}}
    )
    run_id = started["process_run_id"]
    run = (await demo.fact("accounting.process-run.completed.v1", process_run_id=run_id)).body
    demo.note("process_runs", run)
    amount = written(left_out.amount, currency)
    demo.expect_same(
        "what the process run left out", run["left_out"], {currency: {"items": 1, "amount": amount}}
    )
    (entry,) = await demo.services.items("accounting-connector", f"/process-runs/{run_id}/log", {})
    demo.expect_same(
        "the log entry of the left-out item",
        [entry["result"], codes(entry["reasons"])],
        ["warning", ["items_left_out"]],
    )
    told = (await demo.fact(_LEFT_OUT, billing_event_id=event_id, left_out=True)).body
    demo.expect_same(
        "the left-out item",
        [(item["item_id"], item["amount"], item["criterion"]) for item in told["items"]],
        [(left_out.item_id, amount, ITEM_CRITERION)],
    )
    shown = await demo.services.get("release", f"/billing-events/{event_id}")
    demo.expect_same(
        "items that are invoiced",
        [(item["item_id"], item["invoiced"], item["left_out"]) for item in shown["items"]],
        [(billed.item_id, True, False), (left_out.item_id, False, True)],
    )
    moved = await demo.services.post("release", f"/billing-events/{event_id}/move-left-out", {})
    new_id = moved["new_billing_event_id"]
    made = await demo.services.get("release", f"/billing-events/{new_id}")
    demo.expect_same(
        "the event of what was left out",
        [made["stage"], made["origin_id"], made["made_by_cap"], made["summary_amount"]],
        ["awaiting_release", event_id, False, amount],
    )
    await demo.fact(_LEFT_OUT, billing_event_id=event_id, moved_to=new_id)
    demo.left_out.add(left_out.item_id)
    demo.found["left_out"] = _found(told, entry, shown["invoice_number"], new_id)
    return (
        f"{event_id}: {shown['invoice_number']} leaves out {left_out.item_id}, {amount} {currency}, "
        f"by its company's criterion; {new_id} holds it to be billed later"
    )


def _found(told: dict[str, Any], entry: dict[str, Any], number: str, new_id: str) -> dict[str, Any]:
    return {
        "billing_event_id": told["billing_event_id"],
        "invoice_number": number,
        "items": told["items"],
        "log_entry": entry,
        "new_billing_event_id": new_id,
    }
