"""Billing events released one by one: plainly, over a cap with preview and split, past a threshold, by a command."""

from typing import Any

from sluice.client import CallError
from sluice.demo.arithmetic import written
from sluice.demo.context import Demo, codes
from sluice.demo.feed import REMAINING_AFTER, REMAINING_BEFORE

RELEASED = "release.billing-event.released.v1"
_RELEASE = "release.billing-event.release.v1"


async def release_singly(demo: Demo) -> str:
    """Release single events over HTTP and by a command on Kafka."""
    for part in ("quick", "waiting", "below_threshold"):
        event_id = demo.feed.parts[part]
        result = await release_one(demo, event_id, on_cap="refuse")
        demo.expect_same(f"{event_id}: outcome of its release", result["outcome"], "released")
    for part in ("by_command", "cap_filler"):
        await _command_release(demo, demo.feed.parts[part])
    return "3 events released over HTTP, 2 by commands on Kafka"


async def refuse_a_double_billing(demo: Demo) -> str:
    """A second event over a record that is billed already: refused, with the event that bills it."""
    event_id, billed_by = demo.feed.parts["twice"], demo.feed.parts["quick"]
    record_id = demo.feed.events[event_id].items[0].record_id
    reasons: list[dict[str, Any]] = []
    try:
        await release_one(demo, event_id, on_cap="refuse")
    except CallError as error:
        reasons = (error.problem or {}).get("reasons") or []
    demo.expect_same(f"{event_id}: refused with", codes(reasons), ["record_already_billed"])
    demo.note("refused", {"billing_event_id": event_id, "by": "quick release", "reasons": reasons})
    message = " ".join(str(reason["message"]) for reason in reasons)
    demo.expect(
        record_id in message and billed_by in message,
        f"{event_id} is not told what bills {record_id}: {message}",
    )
    demo.found["double_billing"] = {
        "billing_event_id": event_id,
        "record_id": record_id,
        "billed_by": billed_by,
        "reasons": reasons,
    }
    return f"{event_id} is refused: {record_id} is billed by {billed_by}"


async def split_at_the_cap(demo: Demo) -> str:
    """An event of 390 with 300 left: refused with an offer, looked at, then split and released."""
    event = demo.feed.event("cap_split")
    event_id, project = event.billing_event_id, event.project
    before = await demo.services.get("release", f"/projects/{project.project_id}/cap")
    demo.expect_same("remaining before", before["remaining"], written(REMAINING_BEFORE, project.currency))
    preview = await refusal(demo, event_id)
    looked_at = await demo.services.get("release", f"/billing-events/{event_id}/release-preview")
    result = await release_one(demo, event_id, on_cap="split")
    item_ids = [item.item_id for item in event.items]
    remaining = written(REMAINING_AFTER, project.currency)
    for name, told in (("preview", preview), ("result", result)):
        demo.expect_same(f"{name}: outcome", told["outcome"], "split")
        demo.expect_same(f"{name}: items released", told["released_item_ids"], item_ids[:2])
        demo.expect_same(f"{name}: items moved", told["moved_item_ids"], item_ids[2:])
        demo.expect_same(f"{name}: remaining after", told["cap"]["remaining_after"], remaining)
    after = await demo.services.get("release", f"/projects/{project.project_id}/cap")
    demo.expect_same("remaining after", after["remaining"], remaining)
    new_id = result["new_billing_event_id"]
    made = await demo.services.get("release", f"/billing-events/{new_id}")
    demo.expect_same(
        "the event made by the cap",
        [made["made_by_cap"], made["origin_id"], made["summary_amount"], made["stage"]],
        [True, event_id, written(event.items[2].amount, project.currency), "awaiting_release"],
    )
    history = await demo.services.items("release", f"/billing-events/{event_id}/history", {})
    demo.expect(bool(history), f"{event_id} has no history that says why it was split")
    demo.found["split"] = {
        "billing_event_id": event_id,
        "project_id": project.project_id,
        "refused_with": "split_required",
        "preview": preview,
        "looked_at": looked_at,
        "result": result,
        "new_billing_event_id": new_id,
        "remaining": {"before": before["remaining"], "after": after["remaining"]},
    }
    return f"{event_id}: 2 of 3 items released, {remaining} {project.currency} left; {new_id} holds the third"


async def cross_the_threshold(demo: Demo) -> str:
    """The tracked project's second event takes it past its alert threshold."""
    event = demo.feed.event("over_threshold")
    await release_one(demo, event.billing_event_id, on_cap="refuse")
    fact = await demo.fact(
        "release.cap.threshold-crossed.v1", project_id=event.project.project_id, level="project"
    )
    demo.expect_same(
        "the threshold's figures", [fact.body["bookings"], fact.body["released"]], ["1000.00", "900.00"]
    )
    demo.found["threshold"] = fact.body
    return f"{event.project.project_id}: {fact.body['released']} of {fact.body['bookings']} released"


async def release_one(demo: Demo, event_id: str, *, on_cap: str) -> dict[str, Any]:
    """The answer of the quick action over HTTP. Raises CallError if it refuses."""
    result: dict[str, Any] = await demo.services.post(
        "release", f"/billing-events/{event_id}/release", {"on_cap": on_cap}
    )
    return result


async def refusal(demo: Demo, event_id: str) -> dict[str, Any]:
    """The preview of the refusal that offers a split."""
    try:
        await release_one(demo, event_id, on_cap="refuse")
    except CallError as error:
        problem = error.problem or {}
        demo.expect_same(f"{event_id}: code", problem.get("code"), "split_required")
        demo.note(
            "refused",
            {"billing_event_id": event_id, "by": "quick release", "reasons": problem.get("reasons") or []},
        )
        demo.expect(bool(codes(problem.get("reasons") or [])), f"{event_id} was refused without a reason")
        preview: dict[str, Any] = problem["preview"]
        return preview
    raise CallError(f"{event_id} does not fit under its cap, and was released all the same")


async def _command_release(demo: Demo, event_id: str) -> None:
    body = {"billing_event_id": event_id, "on_cap": "refuse"}
    await demo.command(_RELEASE, event_id, body, topic="release.commands")
    await demo.kafka.until(
        lambda facts: any(
            fact.body["billing_event"]["billing_event_id"] == event_id for fact in facts.of(RELEASED)
        ),
        what=f"the release of {event_id} by a command",
    )
