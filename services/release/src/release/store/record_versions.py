"""Business records that are known in a later version than the items that bill them (domain.md section 2)."""

from collections.abc import Iterable
from typing import Final

from release.domain.events import RecordKey
from release.store.connection import Reader

_LATER: Final = """
select distinct record.kind, record.record_id, record.version
from billing_event_items as item
join business_records as record on record.kind = item.category and record.record_id = item.business_record_id
where item.billing_event_id = any($1::text[]) and item.adjusts_item_id is null
  and record.version > item.business_record_version
"""


async def load_later_versions(connection: Reader, billing_event_ids: Iterable[str]) -> dict[RecordKey, int]:
    """The versions of the records of these events' items, of those only that are later than an item names."""
    rows = await connection.fetch(_LATER, list(billing_event_ids))
    return {RecordKey(row["kind"], row["record_id"]): row["version"] for row in rows}
