"""Deciding the release of one billing event (domain.md sections 2 and 3): released, split, or refused."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from release.domain.billed import Billed, Billing
from release.domain.billed_once import Judgement, items_billed_elsewhere, judge_records
from release.domain.cap_state import ProjectCap
from release.domain.caps import CapVerdict, Divided, Stopped, Whole, decide_caps
from release.domain.events import BillingEvent, BillingEventItem, RecordKey, in_order_of_creation
from release.domain.explanation import Decision
from release.domain.ledger import LedgerEntry, book_release
from release.domain.reasons import Reason
from release.domain.refusals import (
    has_all_budgets,
    incomplete,
    refusal_by_stage,
    refusals_before_guards,
    refusals_by_fields,
)
from release.domain.settings import RecordGuard, ReleaseRequest, ReleaseSettings
from release.domain.split import Adjustment, split_event
from release.domain.stages import Stage
from release.domain.threshold import ThresholdCrossing, threshold_crossing


@dataclass(slots=True)
class Released:
    """The event is released as a whole: the event in its new stage, and all that its transaction writes.

    `billings` is what it bills of which records; `warnings` say what a person should look at all the same.
    """

    event: BillingEvent
    released_item_ids: tuple[str, ...]
    decision: Decision
    ledger_entries: tuple[LedgerEntry, ...]
    cap: ProjectCap
    crossing: ThresholdCrossing | None
    billings: tuple[Billing, ...] = ()
    warnings: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """A part of the event is released, the rest moves to one new event; with all that its transaction writes.

    `event` has the kept items and the negative adjustments; `new_event` the moved items and the positive ones. The ids
    are PSA's items in the order of decision; `adjustments` holds pairs, the released event's half first.
    """

    event: BillingEvent
    new_event: BillingEvent
    released_item_ids: tuple[str, ...]
    moved_item_ids: tuple[str, ...]
    adjustments: tuple[Adjustment, ...]
    decision: Decision
    ledger_entries: tuple[LedgerEntry, ...]
    cap: ProjectCap
    crossing: ThresholdCrossing | None
    billings: tuple[Billing, ...] = ()
    warnings: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is released: every reason in the order of domain.md section 2; the first one's code is the answer's.

    `preview` is what a confirmed split would do (`split_required` only, nothing of it done); `decision` explains what
    the caps said, None where they were not asked.
    """

    billing_event_id: str
    reasons: tuple[Reason, ...]
    preview: Split | None = None
    decision: Decision | None = None


Outcome = Released | Split | Refused


def decide_release(
    event: BillingEvent,
    cap: ProjectCap | None,
    request: ReleaseRequest,
    settings: ReleaseSettings,
    *,
    billed: Billed,
    record_versions: Mapping[RecordKey, int],
    taken_ids: Container[str],
) -> Outcome:
    """Decide the release of one event against its project's caps, and what is billed already, as they stand.

    `cap` is None where the project is not known. `billed` is of its items and records; `record_versions` are the known
    versions of the items' business records; `taken_ids` the event ids that exist under `split_ids.lineage_prefixes` of
    the event's root.
    """
    alone = refusal_by_stage(event, request)
    if alone is not None:
        return Refused(event.billing_event_id, (alone,))
    if cap is None or not has_all_budgets(event, cap):
        return Refused(event.billing_event_id, (incomplete(event),))
    twice = None if settings.record_guard is RecordGuard.OFF else items_billed_elsewhere(event, billed)
    first = refusals_before_guards(event, cap, request, settings, record_versions)
    last = refusals_by_fields(event, settings)
    refuses = settings.record_guard is RecordGuard.REFUSE
    beside = bool(first or last or (refuses and twice))
    verdict = decide_caps(event, cap, request, settings, beside_other_reasons=beside)
    judged = judge_records(event, _released_items(event, verdict, taken_ids), billed)
    if refuses and judged.refusal is not None and not beside:
        verdict = decide_caps(event, cap, request, settings, beside_other_reasons=True)
    guards = _present(twice, judged.refusal)
    judged = _as_set(judged, guards, settings)
    match verdict:
        case Whole(decision):
            return _released(event, cap, decision, judged)
        case Divided():
            return _split(event, cap, verdict, taken_ids, judged)
        case Stopped(decision, cap_reasons, offer):
            preview = None if offer is None else _split(event, cap, offer, taken_ids, judged)
            reasons = (*first, *(guards if refuses else ()), *last, *cap_reasons)
            return Refused(event.billing_event_id, reasons, preview, decision)


def bill(billed: Billed, outcome: Released | Split) -> None:
    """Count an event that is released as billed, for those that are decided after it."""
    event = outcome.event
    billed.add(event.billing_event_id, (item.item_id for item in event.items), outcome.billings)


def _released_items(
    event: BillingEvent, verdict: CapVerdict, taken_ids: Container[str]
) -> Sequence[BillingEventItem]:
    """The items that bill their records if this verdict holds: of a split, what is released; else all of them."""
    divided = verdict.offer if isinstance(verdict, Stopped) else verdict
    if isinstance(divided, Divided):
        return split_event(event, divided.division, taken_ids).origin.items
    return event.items


def _present(*reasons: Reason | None) -> tuple[Reason, ...]:
    return tuple(reason for reason in reasons if reason is not None)


def _as_set(judged: Judgement, guards: tuple[Reason, ...], settings: ReleaseSettings) -> Judgement:
    """The judgement as the guard's setting has it: where it only warns, its refusals are warnings; where it is off,
    nothing is told, and no amount above a record's becomes its limit.
    """
    if settings.record_guard is RecordGuard.OFF:
        return Judgement(tuple(replace(each, limit=None) for each in judged.billings))
    if guards:
        return replace(judged, warnings=(*guards, *judged.warnings))
    return judged


def _released(event: BillingEvent, cap: ProjectCap, decision: Decision, judged: Judgement) -> Released:
    booking = book_release(event, cap)
    return Released(
        event=replace(event, stage=Stage.RELEASED, queued_by=None),
        released_item_ids=tuple(item.item_id for item in in_order_of_creation(event.items)),
        decision=decision,
        ledger_entries=booking.entries,
        cap=booking.cap,
        crossing=threshold_crossing(cap, booking.cap),
        billings=judged.billings,
        warnings=judged.warnings,
    )


def _split(
    event: BillingEvent, cap: ProjectCap, verdict: Divided, taken_ids: Container[str], judged: Judgement
) -> Split:
    division = verdict.division
    events = split_event(event, division, taken_ids)
    booking = book_release(events.origin, cap)
    return Split(
        event=events.origin,
        new_event=events.new_event,
        released_item_ids=tuple(item.item_id for item in division.kept),
        moved_item_ids=tuple(item.item_id for item in division.moved),
        adjustments=events.adjustments,
        decision=verdict.decision,
        ledger_entries=booking.entries,
        cap=booking.cap,
        crossing=threshold_crossing(cap, booking.cap),
        billings=judged.billings,
        warnings=judged.warnings,
    )
