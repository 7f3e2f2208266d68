"""The custom fields that a company's billing events and items have."""

from typing import Final

from accounting_connector.domain.known_fields import KnownFields
from accounting_connector.store.connection import Reader

EVENTS_MAX: Final = 200
"""How many of a company's events are looked at."""
NAMES_MAX: Final = 500
"""Most names that are told of each kind."""

_NAMES: Final = f"""
with looked_at as (
  select body from billing_events where company_id = $1 limit {EVENTS_MAX}
), named as (
  select false as of_item, name from looked_at, jsonb_object_keys(looked_at.body -> 'fields') as name
  where jsonb_typeof(looked_at.body -> 'fields') = 'object'
  union
  select true, name from looked_at, jsonb_array_elements(looked_at.body -> 'items') as item,
    jsonb_object_keys(item -> 'fields') as name
  where jsonb_typeof(item -> 'fields') = 'object'
)
select of_item, (array_agg(name order by name collate "C"))[:{NAMES_MAX}] as names
from named where name ~ '^[A-Za-z][A-Za-z0-9_]*$' group by of_item
"""  # noqa: S608 - only our constants


async def known_fields(connection: Reader, company_id: str) -> KnownFields:
    """The fields that criteria of this company may name. Looks at EVENTS_MAX of its events; locks nothing."""
    rows = await connection.fetch(_NAMES, company_id)
    found = {row["of_item"]: frozenset(row["names"]) for row in rows}
    return KnownFields(found.get(False, frozenset()), found.get(True, frozenset()))
