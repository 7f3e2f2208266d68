"""Why something was refused: codes, sentences for people, and the details behind them (domain.md section 2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from release.domain.stages import RELEASED_STAGES, Stage
from shared.money import format_amount


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a refusal: its code, a sentence, and its details as JSON values, amounts as decimal strings."""

    code: str
    message: str
    detail: Mapping[str, object] = field(default_factory=dict)


def codes_of(reasons: Iterable[Reason]) -> tuple[str, ...]:
    """The codes in the order in which they are reported; the first is the answer's."""
    return tuple(reason.code for reason in reasons)


def show(amount: Decimal, currency: str) -> str:
    """An amount in a sentence: `100.00 GBP`."""
    return f"{format_amount(amount, currency)} {currency}"


def not_found(billing_event_id: str) -> Reason:
    """The id names no billing event."""
    return Reason(
        "not_found",
        f"There is no billing event {billing_event_id}.",
        {"billing_event_id": billing_event_id},
    )


def too_large(billing_event_id: str) -> Reason:
    """What would be told of the event is more than one message may hold."""
    return Reason(
        "too_large",
        f"Billing event {billing_event_id} has too many items, or texts too long, for one message to tell of it.",
        {"billing_event_id": billing_event_id},
    )


def already_released(billing_event_id: str, stage: Stage, changed: Iterable[str] = ()) -> Reason:
    """The event is released, so it is neither released again nor changed; `changed` names the fields that would be."""
    detail: dict[str, object] = {"stage": stage.value}
    fields = sorted(changed)
    if not fields:
        return Reason("already_released", f"Billing event {billing_event_id} is already released.", detail)
    detail["fields"] = fields
    return Reason(
        "already_released",
        f"Billing event {billing_event_id} is already released: {', '.join(fields)} can no longer be changed.",
        detail,
    )


def out_of_reach(billing_event_id: str, stage: Stage) -> Reason | None:
    """The reason that a stage gives by itself against touching an event; None for stages that are not over.

    Codes in the order of domain.md section 2: deleted, reverted, reverting, closed, already_released.
    """
    sentences = {
        Stage.DELETED: "was deleted",
        Stage.REVERTED: "was reverted",
        Stage.REVERTING: "is being reverted",
        Stage.CLOSED: "was closed for good in a billing run",
    }
    sentence = sentences.get(stage)
    if sentence is not None:
        return Reason(stage.value, f"Billing event {billing_event_id} {sentence}.", {"stage": stage.value})
    return already_released(billing_event_id, stage) if stage in RELEASED_STAGES else None
