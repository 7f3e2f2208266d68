"""The JSON form of a run's scope (contract.md section 2, POST /billing-runs), as it is stored, asked and shown."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from billing_runs.domain.scope import BatchesScope, CycleScope, EventsScope, FilterScope, Narrowing, Scope


def scope_of(body: Mapping[str, Any]) -> Scope:
    """The scope that a checked body describes: exactly one of its ways is given."""
    if body.get("billing_cycle_id") is not None:
        return CycleScope(
            body["billing_cycle_id"],
            date.fromisoformat(body["date_from"]),
            date.fromisoformat(body["last_transaction_date"]),
        )
    if body.get("billing_event_ids") is not None:
        return EventsScope(frozenset(body["billing_event_ids"]))
    if body.get("batch_ids") is not None:
        return BatchesScope(frozenset(body["batch_ids"]), _narrowing_of(body))
    given = body["filter"]
    return FilterScope(
        project_id=given.get("project_id"),
        account_id=given.get("account_id"),
        currency=given.get("currency"),
        batch_id=given.get("batch_id"),
        date_from=_day(given.get("date_from")),
        date_to=_day(given.get("date_to")),
        narrowing=_narrowing_of(body),
    )


def scope_body(scope: Scope) -> dict[str, Any]:
    """The scope as JSON; lists of ids are sorted."""
    match scope:
        case CycleScope():
            return {
                "billing_cycle_id": scope.billing_cycle_id,
                "date_from": scope.date_from.isoformat(),
                "last_transaction_date": scope.last_transaction_date.isoformat(),
            }
        case EventsScope():
            return {"billing_event_ids": sorted(scope.billing_event_ids)}
        case BatchesScope():
            return {"batch_ids": sorted(scope.batch_ids), **_narrowing_body(scope.narrowing)}
        case FilterScope():
            return {
                "filter": {
                    "project_id": scope.project_id,
                    "account_id": scope.account_id,
                    "currency": scope.currency,
                    "batch_id": scope.batch_id,
                    "date_from": scope.date_from.isoformat() if scope.date_from is not None else None,
                    "date_to": scope.date_to.isoformat() if scope.date_to is not None else None,
                },
                **_narrowing_body(scope.narrowing),
            }


def _narrowing_of(body: Mapping[str, Any]) -> Narrowing:
    as_of = body.get("as_of")
    return Narrowing(
        datetime.fromisoformat(as_of) if as_of is not None else None,
        frozenset(body.get("exclude_ids") or ()),
    )


def _narrowing_body(narrowing: Narrowing) -> dict[str, Any]:
    """Only what is given: scopes from before there was any read as they did."""
    body: dict[str, Any] = {}
    if narrowing.as_of is not None:
        body["as_of"] = f"{narrowing.as_of.astimezone(UTC).isoformat()[:-6]}Z"
    if narrowing.exclude_ids:
        body["exclude_ids"] = sorted(narrowing.exclude_ids)
    return body


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text is not None else None
