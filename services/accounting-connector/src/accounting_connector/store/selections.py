"""Which billing events a selection stands for (contract.md section 2, `select`)."""

from collections.abc import Mapping
from typing import Any, Final

from accounting_connector.domain.grouping import Grouping
from accounting_connector.store import process_run_events
from accounting_connector.store.connection import Connection, Reader

_RELEASED: Final = """
event.stage = 'released' and not event.closed and event.withdrawal is null
and not exists (select from live_documents as live where live.billing_event_id = event.billing_event_id)
"""
_AWAITING: Final = "event.stage in ('awaiting_release', 'queued')"

# As far as SQL can tell; the rest is decided when the event is worked, and what is not eligible is left out then.
_ELIGIBLE: Final = """
event.account_id is not null and event.company_id is not null and event.billing_event_currency = event.currency
and not exists (select from claims where claims.billing_event_id = event.billing_event_id)
"""
# What a run holds is worked even where it has become ineligible since, so that the run is told why.
_HELD: Final = """
exists (select from claims where claims.billing_event_id = event.billing_event_id and claims.billing_run_id = {})
and not exists (select from live_documents as live where live.billing_event_id = event.billing_event_id)
"""
_FREEZE: Final = """
insert into process_run_events (process_run_id, billing_event_id)
select $1, billing_event_id from billing_events as event
where {condition}
order by case when $2 then account_id end, case when $2 then company_id end, case when $2 then currency end,
  date, billing_event_id
on conflict do nothing
"""
_SELECT: Final = """
select billing_event_id from billing_events as event
where {condition}
order by date, billing_event_id
limit $1
"""
_CONDITIONS: Final[Mapping[str, str]] = {
    "project_id": "event.project_id = {}",
    "account_id": "event.account_id = {}",
    "currency": "event.currency = {}",
    "batch_id": "event.batch_id = {}",
    "date_from": "event.date >= {}::text::date",
    "date_to": "event.date <= {}::text::date",
    "stage": "({0} = event.stage or {0} = 'awaiting_release' and event.stage = 'queued')",
    "batch_ids": "event.batch_id = any({}::text[])",
    # What is not known was before these moments were kept.
    "as_of": "coalesce(greatest(event.registered_at, event.amount_changed_at) <= {}::text::timestamptz, true)",
    "exclude_ids": "event.billing_event_id <> all({}::text[])",
}


async def freeze_selection(
    connection: Connection,
    process_run_id: str,
    selection: Mapping[str, Any],
    grouping: Grouping,
    *,
    billing_run_id: str | None = None,
) -> None:
    """Freeze what a process run is to work through.

    Ids as given, duplicates once; batches, filters and what is eligible (of one company): what is released and has no
    live document, by date, then id, as of a moment and without the ids that are left out. To a billing run `eligible`
    means all that it has claimed and that has no live document. Where the run groups by account, the events of one
    account, company and currency stand together.
    """
    if "retry_of" in selection:
        return  # what another run could not pass, which was frozen with the run
    if "billing_event_ids" in selection:
        ids = selection["billing_event_ids"]
        await process_run_events.freeze_ids(connection, process_run_id, ids, grouping)
        return
    if billing_run_id is not None and selection.get("eligible"):
        condition, values = _HELD.format("$3"), [billing_run_id]
    else:
        condition, values = _condition(selection, _RELEASED, first_parameter=3)
    by_account = grouping is Grouping.ACCOUNT
    await connection.execute(_FREEZE.format(condition=condition), process_run_id, by_account, *values)


async def select_ids(
    connection: Reader, selection: Mapping[str, Any], *, waive_released: bool, limit: int
) -> list[str] | None:
    """The ids that a selection stands for now; None if they are more than `limit`.

    `waive_released`: what awaits release is selected beside what is released.
    """
    if "billing_event_ids" in selection:
        ids = list(dict.fromkeys(selection["billing_event_ids"]))
    else:
        stages = f"(({_RELEASED}) or {_AWAITING})" if waive_released else _RELEASED
        condition, values = _condition(selection, stages, first_parameter=2)
        rows = await connection.fetch(_SELECT.format(condition=condition), limit + 1, *values)
        ids = [row["billing_event_id"] for row in rows]
    return ids if len(ids) <= limit else None


def _condition(selection: Mapping[str, Any], stages: str, *, first_parameter: int) -> tuple[str, list[Any]]:
    if selection.get("eligible"):
        if (company_id := selection.get("company_id")) is None:
            return f"{stages} and {_ELIGIBLE}", []
        return f"{stages} and {_ELIGIBLE} and event.company_id = ${first_parameter}", [company_id]
    given = {name: value for name, value in selection.get("filter", {}).items() if value is not None}
    given |= {name: selection[name] for name in ("batch_ids", "as_of", "exclude_ids") if name in selection}
    terms = [_CONDITIONS[name].format(f"${place}") for place, name in enumerate(given, first_parameter)]
    return " and ".join([*terms, stages]), list(given.values())
