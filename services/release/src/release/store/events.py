"""Billing events as they are stored: read and locked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import asyncpg

from release.domain.events import BillingEvent, BillingEventItem, in_order_of_creation
from release.domain.sources import Source
from release.domain.stages import Stage
from release.store.conflicts import CONFLICT
from release.store.connection import Connection, Reader

_COLUMNS: Final = f"""
select event.*, project.engagement, {CONFLICT} as conflict
from billing_events as event left join projects as project using (project_id)
"""  # noqa: S608 - the parts are SQL of ours
_LOAD: Final = f"{_COLUMNS} where event.billing_event_id = any($1::text[])"
_LOCK: Final = f"{_LOAD} order by event.billing_event_id for no key update of event"
_DATES: Final = "select billing_event_id, date from billing_events where billing_event_id = any($1::text[])"
_ITEMS: Final = "select * from billing_event_items where billing_event_id = any($1::text[])"


@dataclass(slots=True)
class StoredEvent:
    """A billing event with all that is stored beside what the domain decides on.

    `left_out` are the items that the event's document leaves out, by id, each with the item criterion that it does not
    meet (documents.md section 3.5). `missing` and `waits_for` are of the last completion. `released_by` is a user's id,
    `starter` the one of the release (`user_id`, `email`). `stage_before_revert` is where a refused revert goes back to.
    `engagement` and `conflict` (its caps are wrongly configured) are the project's, as of the reading.
    """

    event: BillingEvent
    missing: tuple[str, ...] = ()
    waits_for: tuple[Source, ...] = ()
    stage_before_revert: Stage | None = None
    released_at: datetime | None = None
    released_by: str | None = None
    released_by_job_id: str | None = None
    release_starter: Mapping[str, Any] | None = None
    document_id: str | None = None
    invoice_number: str | None = None
    invoice_date: date | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    engagement: str | None = None
    conflict: bool = False

    @property
    def billing_event_id(self) -> str:
        """The event's id."""
        return self.event.billing_event_id

    @property
    def left_out_items(self) -> list[BillingEventItem]:
        """The items that the event's document leaves out, in the event's order."""
        return [item for item in self.event.items if item.item_id in self.left_out]

    @property
    def billed_items(self) -> Sequence[BillingEventItem]:
        """All other items: what is billed of the event once it is released, left-out items counting nowhere."""
        if not self.left_out:
            return self.event.items
        return [item for item in self.event.items if item.item_id not in self.left_out]

    @property
    def stage(self) -> Stage:
        """The event's stage."""
        return self.event.stage


async def lock_events(connection: Connection, billing_event_ids: Iterable[str]) -> dict[str, StoredEvent]:
    """Lock the events with these ids `for no key update`, in the order of their ids, and read them with their items.

    Keyed by id; ids that are not known are left out. In a transaction that also locks projects, those come first.
    """
    rows = await connection.fetch(_LOCK, sorted(set(billing_event_ids)))
    return await _with_items(connection, rows)


async def load_events(connection: Reader, billing_event_ids: Iterable[str]) -> dict[str, StoredEvent]:
    """The events with these ids and their items, by id, without locking; ids that are not known are left out."""
    rows = await connection.fetch(_LOAD, sorted(set(billing_event_ids)))
    return await _with_items(connection, rows)


async def load_dates(connection: Reader, billing_event_ids: Iterable[str]) -> dict[str, date]:
    """The dates of the events with these ids, by id, without locking; ids that are not known are left out."""
    ids = sorted(set(billing_event_ids))
    rows = await connection.fetch(_DATES, ids) if ids else []
    return {row["billing_event_id"]: row["date"] for row in rows}


async def _with_items(connection: Reader, rows: Sequence["asyncpg.Record"]) -> dict[str, StoredEvent]:
    if not rows:
        return {}
    items: dict[str, list[BillingEventItem]] = {row["billing_event_id"]: [] for row in rows}
    for row in await connection.fetch(_ITEMS, list(items)):
        items[row["billing_event_id"]].append(item_of(row))
    return {
        row["billing_event_id"]: _event_of(row, in_order_of_creation(items[row["billing_event_id"]]))
        for row in rows
    }


def item_of(row: "asyncpg.Record") -> BillingEventItem:
    """The item in a row of `billing_event_items`."""
    return BillingEventItem(
        item_id=row["item_id"],
        created_at=row["created_at"],
        category=row["category"],
        business_record_id=row["business_record_id"],
        description=row["description"],
        amount=row["amount"],
        quantity=row["quantity"],
        unit_price=row["unit_price"],
        date=row["date"],
        business_record_version=row["business_record_version"],
        services_product=row["services_product"],
        services_product_from=row["services_product_from"],
        accounting_line_description=row["accounting_line_description"],
        budget_id=row["budget_id"],
        adjusts_item_id=row["adjusts_item_id"],
        category_mismatch=row["category_mismatch"],
        adjusts_category=row["adjusts_category"],
        fields=row["fields"],
    )


def _event_of(row: "asyncpg.Record", items: Sequence[BillingEventItem]) -> StoredEvent:
    before_revert = row["stage_before_revert"]
    return StoredEvent(
        event=BillingEvent(
            billing_event_id=row["billing_event_id"],
            version=row["version"],
            project_id=row["project_id"],
            date=row["date"],
            currency=row["currency"],
            items=tuple(items),
            stage=Stage(row["stage"]),
            batch_id=row["batch_id"],
            account_id=row["account_id"],
            company_id=row["company_id"],
            billing_event_currency=row["billing_event_currency"],
            customer_reference=row["customer_reference"],
            auto_pass_to_accounting=row["auto_pass_to_accounting"],
            corrects_billing_event_id=row["corrects_billing_event_id"],
            fields=row["fields"],
            filled=row["filled"],
            on_hold=row["on_hold"],
            queued_by=row["queued_by"],
            origin_id=row["origin_id"],
            root_id=row["root_id"],
            made_by_cap=row["made_by_cap"],
        ),
        missing=tuple(row["missing"]),
        waits_for=tuple(Source(*pair) for pair in row["waits_for"]),
        stage_before_revert=Stage(before_revert) if before_revert is not None else None,
        released_at=row["released_at"],
        released_by=row["released_by"],
        released_by_job_id=row["released_by_job_id"],
        release_starter=row["release_starter"],
        document_id=row["document_id"],
        invoice_number=row["invoice_number"],
        invoice_date=row["invoice_date"],
        left_out=row["left_out"] or {},
        engagement=row["engagement"],
        conflict=row["conflict"],
    )
