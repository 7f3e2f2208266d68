"""Why each item of a billing event was released, moved or refused, from the release service's answers (domain.md
section 3): put together, and told in sentences.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from sluice.client import ServiceClient

Json: TypeAlias = Mapping[str, Any]

ENTRIES_MAX: Final = 10_000

_RULES: Final = {
    "not_enforced": "no cap that is enforced stands against it",
    "credit_always_fits": "what sums to 0 or less always fits",
    "fits_remaining": "it fits what remains of the bookings",
    "within_budgets": "every budget stays within its amount and tolerance",
    "first_fit": "in order of creation, what fits in what is left is released; the others move to a new event",
    "bill_to_budget_cap": "budgets that are over are billed up to their full amount, item by item in order of creation",
    "configuration_conflict": "the project is capped at both levels, which is a configuration error",
    "currency_mismatch": "it is in another currency than the cap",
    "closer_to_cap_disabled": "it is over a cap, and splitting is switched off",
    "job_does_not_split": "it is over a cap, and a job does not split here",
    "too_many_items": "it is over the cap, and has too many items to be split",
    "left_out_moved": "the event's document leaves them out, by its company's item criteria",
    "other_reasons": "other reasons stand against it already",
}
_DECISIONS: Final = frozenset({"released", "split", "refused"})
_NUMBERS: Final = (
    "level",
    "currency",
    "summary_amount",
    "bookings",
    "remaining_before",
    "remaining_after",
    "budgets",
)


def gather(client: ServiceClient, billing_event_id: str) -> dict[str, Any]:
    """What `explanation` is made of, asked of the release service. Raises CallError."""
    event = client.get(f"/billing-events/{billing_event_id}")
    ledger: list[dict[str, Any]] = []
    if event["released"] or event["stage"] == "reverted":
        path = f"/projects/{event['project_id']}/cap/ledger"
        ledger = client.items(path, {"billing_event_id": billing_event_id}, items_max=ENTRIES_MAX)
    return {
        "event": event,
        "history": _history(client, billing_event_id),
        "ledger": ledger,
        "origin_history": _history(client, event["origin_id"]) if event["origin_id"] else [],
    }


def _history(client: ServiceClient, billing_event_id: str) -> list[dict[str, Any]]:
    return client.items(f"/billing-events/{billing_event_id}/history", {}, items_max=ENTRIES_MAX)


def explanation(
    *, event: Json, history: Sequence[Json], ledger: Sequence[Json], origin_history: Sequence[Json]
) -> dict[str, Any]:
    """The explanation of an event, made of the release service's answers.

    `decisions` are the event's, the oldest first, each with its items in the order of decision. One on the event as a
    whole has items only if it is the last: what they were before is not kept. `came_from` is the decision on the origin
    that moved the items here, for an event that a split made.
    """
    entries = [entry for entry in history if entry["what"] in _DECISIONS]
    decisions = [_decision(entry, event["items"] if entry is entries[-1] else ()) for entry in entries]
    return {
        "billing_event_id": event["billing_event_id"],
        "project_id": event["project_id"],
        "stage": event["stage"],
        "currency": event["currency"],
        "summary_amount": event["summary_amount"],
        "origin_id": event["origin_id"],
        "decisions": decisions,
        "came_from": _came_from(event, origin_history),
        "ledger": [
            {
                key: line[key]
                for key in ("entry_id", "time", "act", "budget_id", "amount", "currency", "released_after")
            }
            for line in ledger
        ],
    }


def _came_from(event: Json, origin_history: Sequence[Json]) -> dict[str, Any] | None:
    for entry in origin_history:
        if entry["what"] == "left_out_moved":
            if entry["detail"]["decision"]["new_billing_event_id"] == event["billing_event_id"]:
                return {**_decision(entry, ()), "billing_event_id": event["origin_id"]}
            continue
        result = entry["detail"].get("result")
        if entry["what"] == "split" and result["new_billing_event_id"] == event["billing_event_id"]:
            decision = _decision(entry, ())
            moved = [item for item in decision["items"] if item["outcome"] != "released"]
            return {**decision, "billing_event_id": event["origin_id"], "items": moved}
    return None


def _decision(entry: Json, items_now: Sequence[Json]) -> dict[str, Any]:
    """One decision; `items_now` are the event's, for a decision that was on the event as a whole."""
    detail = entry["detail"]
    decided = detail.get("decision") or {}
    reasons = detail.get("reasons") or []
    rule = decided.get("rule")
    if decided.get("items"):
        items = [_decided_item(item, rule, entry["what"]) for item in decided["items"]]
    else:
        items = [_whole_item(item, entry["what"], rule, reasons) for item in items_now]
    return {
        "time": entry["time"],
        "what": entry["what"],
        "actor": (entry["actor"] or {}).get("user_id"),
        "job_id": entry["job_id"],
        "rule": rule,
        "because": _RULES.get(rule or "", "; ".join(reason["message"] for reason in reasons)),
        "order": decided.get("order"),
        "numbers": {name: decided[name] for name in _NUMBERS if name in decided},
        "reasons": reasons,
        "items": items,
        "new_billing_event_id": (detail.get("result") or {}).get("new_billing_event_id"),
    }


def _decided_item(item: Json, rule: str | None, what: str) -> dict[str, Any]:
    """One item of a split; of one that was refused, what the split would have done."""
    amount, left, budget_id = item["amount"], item["left_before"], item["budget_id"]
    of_what = "of the bookings" if rule == "first_fit" else f"of budget {budget_id}"
    match item["outcome"]:
        case "released" if left is None:
            because = "no budget that is over stands against it"
        case "released" if amount.startswith("-") or not amount.strip("0."):
            because = "a credit always fits, and makes room for those after it"
        case "released":
            because = f"{amount} is not more than the {left} left {of_what}"
        case "released_with_adjustment":
            because = (
                f"{left} was left {of_what}: released in full with an adjustment of -{item['overage']}, "
                f"which the new event carries on"
            )
        case _:
            because = f"{amount} is more than the {left} left {of_what}"
    is_refused = what == "refused"
    would = "moved" if item["outcome"] == "moved" else "released"
    return {
        "item_id": item["item_id"],
        "amount": amount,
        "budget_id": budget_id,
        "left_before": left,
        "overage": item["overage"],
        "outcome": "refused" if is_refused else item["outcome"],
        "because": f"a split would have {would} it: {because}" if is_refused else because,
    }


def _whole_item(item: Json, what: str, rule: str | None, reasons: Sequence[Json]) -> dict[str, Any]:
    codes = ", ".join(reason["code"] for reason in reasons)
    return {
        "item_id": item["item_id"],
        "amount": item["amount"],
        "budget_id": item["budget_id"],
        "left_before": None,
        "overage": None,
        "outcome": "refused" if what == "refused" else "released",
        "because": f"with the whole event: {codes or _RULES.get(rule or '', '')}",
    }


def sentences(told: Json) -> Iterator[str]:
    """The explanation for people, line by line."""
    yield (
        f"{told['billing_event_id']} of project {told['project_id']}: {told['stage']}, "
        f"{told['summary_amount']} {told['currency']}"
    )
    if told["came_from"] is not None:
        origin = told["came_from"]
        yield f"\nIts items were moved here from {origin['billing_event_id']}:"
        yield from _decision_sentences(origin)
    if not told["decisions"]:
        yield "Its release has not been decided yet."
    for decision in told["decisions"]:
        yield ""
        yield from _decision_sentences(decision)
    if told["ledger"]:
        yield "\nOn the ledger:"
    for line in told["ledger"]:
        where = f"budget {line['budget_id']}" if line["budget_id"] else "the project"
        yield (
            f"  {line['time']}  {line['act']} of {line['amount']} {line['currency']} on {where}: "
            f"{line['released_after']} released then"
        )


def _decision_sentences(decision: Json) -> Iterator[str]:
    by = decision["actor"] or "a process"
    job = f" in job {decision['job_id']}" if decision["job_id"] else ""
    yield f"{decision['time']}  {decision['what']} by {by}{job}: {decision['because']}"
    for reason in decision["reasons"]:
        yield f"  {reason['code']}: {reason['message']}"
    numbers = decision["numbers"]
    if numbers.get("level") is not None:
        bookings = (
            f"bookings {numbers['bookings']}, remaining {numbers['remaining_before']} before, "
            f"{numbers['remaining_after']} after; "
            if numbers["level"] == "project"
            else ""
        )
        yield f"  {bookings}the event {numbers['summary_amount']} {numbers['currency']}"
        for budget in numbers["budgets"]:
            yield (
                f"  budget {budget['budget_id']}: {budget['amount']} and tolerance {budget['tolerance']}, "
                f"released {budget['released_before']} before, {budget['released_after']} after; "
                f"asked {budget['asked']}{', over' if budget['over'] else ''}"
            )
    for item in decision["items"]:
        yield f"  {item['item_id']}  {item['amount']}  {item['outcome']}: {item['because']}"
    if decision["new_billing_event_id"]:
        yield f"  What did not fit is in {decision['new_billing_event_id']}."
