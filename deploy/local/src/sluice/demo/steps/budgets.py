"""A budget billed to its full amount: one item partly, with an adjustment; the rest goes on in a new event. And why."""

from typing import Any

from sluice.demo.arithmetic import total, written
from sluice.demo.context import Demo
from sluice.demo.feed import BUDGET_ROOM, LINES_BUDGETED
from sluice.demo.steps.quick_release import refusal, release_one
from sluice.demo.world import BUDGET_AMOUNT
from sluice.explaining import sentences


async def optimise_the_budget(demo: Demo) -> str:
    """An event of 190 with 100 left of its budget: offered, then split so that the budget is billed in full."""
    event = demo.feed.event("budget_split")
    event_id, project = event.billing_event_id, event.project
    partly, moved = event.items
    overage = LINES_BUDGETED[0] - BUDGET_ROOM
    await release_one(demo, demo.feed.parts["budget_filler"], on_cap="refuse")
    before = await _budget(demo, project.project_id)
    demo.expect_same("left of the budget", before["remaining"], written(BUDGET_ROOM, project.currency))
    preview = await refusal(demo, event_id)
    result = await release_one(demo, event_id, on_cap="split")
    new_id = result["new_billing_event_id"]
    signed = [written(amount, project.currency) for amount in (-overage, overage)]
    for name, told in (("preview", preview), ("result", result)):
        demo.expect_same(f"budget {name}: items released", told["released_item_ids"], [partly.item_id])
        demo.expect_same(f"budget {name}: items moved", told["moved_item_ids"], [moved.item_id])
        pairs = [(half["amount"], half["billing_event_id"]) for half in told["adjustments"]]
        demo.expect_same(
            f"budget {name}: adjustments", pairs, list(zip(signed, (event_id, new_id), strict=True))
        )
    after = await _budget(demo, project.project_id)
    demo.expect_same(
        "the budget after",
        [after["released"], after["remaining"]],
        [written(BUDGET_AMOUNT, project.currency), written(total([]), project.currency)],
    )
    made = await demo.services.get("release", f"/billing-events/{new_id}")
    carried_on = written(moved.amount + overage, project.currency)
    demo.expect_same(
        "the event made by the budget's cap",
        [made["made_by_cap"], made["origin_id"], made["summary_amount"], made["stage"]],
        [True, event_id, carried_on, "awaiting_release"],
    )
    adjustment = partly.overage(result["adjustments"][0]["item_id"], overage)
    demo.adjustments[adjustment.item_id] = adjustment
    demo.found["budget_optimisation"] = {
        "billing_event_id": event_id,
        "budget": {**after, "remaining_before": before["remaining"]},
        "refused_with": "split_required",
        "preview": preview,
        "result": result,
        "new_billing_event_id": new_id,
        "new_amount": carried_on,
    }
    return (
        f"{event_id}: {written(BUDGET_ROOM, project.currency)} released, the budget's full amount; "
        f"{new_id} carries on {carried_on}"
    )


async def explain(demo: Demo) -> str:
    """Every item of a split event has its reason: `sluice explain` tells it."""
    told = []
    for part in ("cap_split", "budget_split"):
        event = demo.feed.event(part)
        explained = await demo.services.explained(event.billing_event_id)
        last = explained["decisions"][-1] if explained["decisions"] else {"what": None, "items": []}
        demo.expect_same(f"{event.billing_event_id}: explained", last["what"], "split")
        demo.expect_same(
            f"{event.billing_event_id}: items that have a reason",
            [item["item_id"] for item in last["items"] if item["because"]],
            [item.item_id for item in event.items],
        )
        told.append({**explained, "told": list(sentences(explained))})
    demo.found["explanations"] = told
    return f"a reason for each of {sum(len(each['decisions'][-1]['items']) for each in told)} items"


async def _budget(demo: Demo, project_id: str) -> dict[str, Any]:
    """The project's one budget as its cap shows it."""
    (budget,) = (await demo.services.get("release", f"/projects/{project_id}/cap"))["budgets"]
    found: dict[str, Any] = budget
    return found
