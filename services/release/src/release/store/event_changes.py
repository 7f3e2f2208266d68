"""Billing events, written: new ones, new contents, new stages. Each in one statement for many events."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg
import orjson

from release.domain.events import BillingEventItem
from release.store.connection import Connection
from release.store.events import StoredEvent

_CONTENT: Final = (
    ("billing_event_id", "text"),
    ("version", "bigint"),
    ("project_id", "text"),
    ("batch_id", "text"),
    ("date", "date"),
    ("currency", "text"),
    ("account_id", "text"),
    ("company_id", "text"),
    ("billing_event_currency", "text"),
    ("customer_reference", "text"),
    ("auto_pass_to_accounting", "boolean"),
    ("corrects_billing_event_id", "text"),
    ("fields", "jsonb"),
    ("filled", "jsonb"),
    ("missing", "text"),
    ("waits_for", "text"),
    ("stage", "text"),
    ("on_hold", "boolean"),
    ("summary_amount", "numeric"),
    ("item_count", "integer"),
    ("origin_id", "text"),
    ("root_id", "text"),
    ("made_by_cap", "boolean"),
    ("queued_by", "text"),
)
_STAGE: Final = (
    ("billing_event_id", "text"),
    ("stage", "text"),
    ("stage_before_revert", "text"),
    ("queued_by", "text"),
    ("released_at", "timestamptz"),
    ("released_by", "text"),
    ("released_by_job_id", "text"),
    ("release_starter", "jsonb"),
    ("document_id", "text"),
    ("invoice_number", "text"),
    ("invoice_date", "date"),
    ("left_out", "jsonb"),
    ("summary_amount", "numeric"),
    ("item_count", "integer"),
)
_ITEM: Final = (
    "billing_event_id",
    "item_id",
    "created_at",
    "category",
    "business_record_id",
    "business_record_version",
    "date",
    "description",
    "quantity",
    "unit_price",
    "amount",
    "services_product",
    "services_product_from",
    "accounting_line_description",
    "budget_id",
    "adjusts_item_id",
    "category_mismatch",
    "adjusts_category",
    "fields",
)

Columns = Sequence[tuple[str, str]]


def _names(columns: Columns) -> str:
    return ", ".join(name for name, _ in columns)


def _unnest(columns: Columns) -> str:
    arrays = ", ".join(f"${place}::{kind}[]" for place, (_, kind) in enumerate(columns, start=1))
    return f"unnest({arrays}) as given ({_names(columns)})"


# A list per row cannot be an element of an array parameter: these two come as text.
_FROM_TEXT: Final = {
    "missing": "string_to_array(given.missing, ',')",
    "waits_for": "given.waits_for::jsonb",
}


def _given(columns: Columns) -> str:
    return ", ".join(_FROM_TEXT.get(name, f"given.{name}") for name, _ in columns)


def _set(columns: Columns) -> str:
    return (
        f"({_names(columns[1:])}, changed_at, amount_changed_at, incomplete_since) = ({_given(columns[1:])}, now(),"
        " case when event.summary_amount = given.summary_amount then event.amount_changed_at else now() end,"
        " case given.stage when 'incomplete' then coalesce(event.incomplete_since, now()) end)"
    )


# The parts are column names of ours; every value is a parameter.
_INSERT_EVENTS: Final = (
    f"insert into billing_events ({_names(_CONTENT)}, incomplete_since)"  # noqa: S608
    f" select {_given(_CONTENT)}, case given.stage when 'incomplete' then now() end from {_unnest(_CONTENT)}"
    " order by billing_event_id on conflict do nothing returning billing_event_id"
)
_UPDATE_CONTENT: Final = (
    f"update billing_events as event set {_set(_CONTENT)} from {_unnest(_CONTENT)}"  # noqa: S608
    " where event.billing_event_id = given.billing_event_id"
)
_UPDATE_STAGES: Final = (
    f"update billing_events as event set {_set(_STAGE)} from {_unnest(_STAGE)}"  # noqa: S608
    " where event.billing_event_id = given.billing_event_id"
)
_DELETE_ITEMS: Final = "delete from billing_event_items where billing_event_id = any($1::text[])"
_DELETE_SOME_ITEMS: Final = """
delete from billing_event_items as item using unnest($1::text[], $2::text[]) as given (billing_event_id, item_id)
where item.billing_event_id = given.billing_event_id and item.item_id = given.item_id
"""


def _content_row(stored: StoredEvent) -> tuple[Any, ...]:
    event = stored.event
    return (
        event.billing_event_id,
        event.version,
        event.project_id,
        event.batch_id,
        event.date,
        event.currency,
        event.account_id,
        event.company_id,
        event.billing_event_currency,
        event.customer_reference,
        event.auto_pass_to_accounting,
        event.corrects_billing_event_id,
        event.fields,
        event.filled,
        ",".join(stored.missing),
        orjson.dumps([list(source) for source in stored.waits_for]).decode() if stored.waits_for else "[]",
        event.stage,
        event.on_hold,
        event.summary_amount,
        len(event.items),
        event.origin_id,
        event.root_id,
        event.made_by_cap,
        event.queued_by,
    )


def _stage_row(stored: StoredEvent) -> tuple[Any, ...]:
    event = stored.event
    return (
        event.billing_event_id,
        event.stage,
        stored.stage_before_revert,
        event.queued_by,
        stored.released_at,
        stored.released_by,
        stored.released_by_job_id,
        stored.release_starter,
        stored.document_id,
        stored.invoice_number,
        stored.invoice_date,
        stored.left_out or None,
        event.summary_amount,
        len(event.items),
    )


def _item_row(billing_event_id: str, item: BillingEventItem) -> tuple[Any, ...]:
    return (
        billing_event_id,
        item.item_id,
        item.created_at,
        item.category,
        item.business_record_id,
        item.business_record_version,
        item.date,
        item.description,
        item.quantity,
        item.unit_price,
        item.amount,
        item.services_product,
        item.services_product_from,
        item.accounting_line_description,
        item.budget_id,
        item.adjusts_item_id,
        item.category_mismatch,
        item.adjusts_category,
        item.fields,
    )


def _as_arrays(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def insert_events(connection: Connection, events: Sequence[StoredEvent]) -> None:
    """Store new events, which are not released, with their items; their rows are locked until the transaction ends.

    Raises asyncpg.SerializationError, so that the transaction is done again, if another one has stored one of the ids
    meanwhile.
    """
    if not events:
        return
    inserted = await connection.fetch(_INSERT_EVENTS, *_as_arrays(map(_content_row, events)))
    if len(inserted) != len(events):
        raise asyncpg.SerializationError("another transaction has stored one of these billing events")
    await insert_items(
        connection, [(stored.billing_event_id, item) for stored in events for item in stored.event.items]
    )


async def update_completion(connection: Connection, events: Sequence[StoredEvent]) -> None:
    """Write everything that PSA, completion, a fill, a hold or a recalculation says of events, and all their items.

    The events must be locked. What a release wrote is left as it is.
    """
    if not events:
        return
    await connection.execute(_UPDATE_CONTENT, *_as_arrays(map(_content_row, events)))
    await connection.execute(_DELETE_ITEMS, [stored.billing_event_id for stored in events])
    await insert_items(
        connection, [(stored.billing_event_id, item) for stored in events for item in stored.event.items]
    )


async def save_stages(connection: Connection, events: Sequence[StoredEvent]) -> None:
    """Write the stage of locked events, who released them, their document, what it leaves out, and the sum and number
    of their items.

    Items themselves are not written: a split moves them by `delete_items` and `insert_items`.
    """
    if events:
        await connection.execute(_UPDATE_STAGES, *_as_arrays(map(_stage_row, events)))


async def insert_items(connection: Connection, items: Sequence[tuple[str, BillingEventItem]]) -> None:
    """Store items, each with the id of its event, which must be locked."""
    if items:
        await connection.copy_records_to_table(
            "billing_event_items", records=[_item_row(*pair) for pair in items], columns=_ITEM
        )


async def delete_items(connection: Connection, items: Sequence[tuple[str, str]]) -> None:
    """Take items out, each named by its event's id and its own; the events must be locked."""
    if items:
        await connection.execute(_DELETE_SOME_ITEMS, *_as_arrays(items))
