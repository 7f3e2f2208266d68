"""Whether events could become documents now, without making any (domain.md section 4; contract.md section 2)."""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from accounting_connector.domain.dates import DateFinding
from accounting_connector.domain.reasons import Reason
from accounting_connector.handlers.assessing import assess_events, is_left_out
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.numbering import check_dates
from accounting_connector.store import billing_events, selections
from accounting_connector.store.connection import Reader
from accounting_connector.store.reason_bodies import reason_bodies

VALIDATION_LIMIT: Final = 200
"""Most events that are checked before a process run is confirmed (domain.md section 2, "Validate first")."""


async def eligibility_of(
    connection: Reader, deployment: Deployment, billing_event_id: str
) -> dict[str, Any] | None:
    """The answer of `GET /billing-events/{id}/eligibility`; None for an event that is not known."""
    events = await billing_events.load_events(connection, [billing_event_id])
    if not events:
        return None
    (assessed,) = await assess_events(connection, list(events.values()), deployment.terms)
    return {
        "billing_event_id": billing_event_id,
        "eligible": not assessed.reasons,
        "reasons": reason_bodies(assessed.reasons),
    }


async def validate_selection(
    connection: Reader,
    deployment: Deployment,
    selection: Mapping[str, Any],
    *,
    waive_released: bool,
    permitted_projects: frozenset[str] | None,
    invoice_date: datetime.date | None = None,
) -> dict[str, Any]:
    """What a process run over the selection would not pass; `validated` false where it is too much to check.

    `invoice_date`: the date that its documents would be asked for; None: today.

    Of all that is eligible a run leaves out what turns out not to be: it is neither counted nor named here either.
    `waive_released`: asked for release and invoice, before its first stage has released.
    `permitted_projects`: those of the token that asks; None: all.
    """
    ids = await selections.select_ids(
        connection, selection, waive_released=waive_released, limit=VALIDATION_LIMIT
    )
    if ids is None:
        return {"checked": 0, "would_fail": [], "validated": False}
    events = await billing_events.load_events(connection, ids)
    known = [events[event_id] for event_id in ids if event_id in events]
    terms = replace(deployment.terms, waive_released=waive_released, permitted_projects=permitted_projects)
    reasons: dict[str, tuple[Reason, ...]] = {
        event_id: (Reason("not_found", f"Billing event {event_id} is not known"),) for event_id in ids
    }
    today = deployment.today()
    dates = await check_dates(
        connection,
        {event.company_id for event in known if event.company_id},
        invoice_date or today,
        today=today,
    )
    for event in await assess_events(connection, known, terms):
        if selection.get("eligible") and is_left_out(event):
            del reasons[event.stored.billing_event_id]
        else:
            finding = dates.get(event.series_owner, DateFinding())
            reasons[event.stored.billing_event_id] = (*event.reasons, *finding.reasons)
    would_fail = [
        {"billing_event_id": event_id, "reasons": reason_bodies(found)}
        for event_id, found in reasons.items()
        if found
    ]
    return {"checked": len(reasons), "would_fail": would_fail, "validated": True}
