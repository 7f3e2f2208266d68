"""Whether the books balance, asked of whole tables (domain.md section 6, points 2, 3 and 6)."""

from collections.abc import Mapping
from typing import Any, Final

from accounting_connector.store.connection import Connection
from accounting_connector.store.corrections import TAKEN_OF_ALL

DIFFERENCES_MAX: Final = 100
"""Most differences that a check shows."""

_LINES_MATCH_ITEMS: Final = """
with billed as (
  select document.document_id, line.billing_event_id, document.excluded_items, document.left_out_items,
    sum(line.amount) * case document.kind when 'sales_credit_note' then -1 else 1 end as amount
  from documents as document join document_lines as line using (document_id)
  where document.status <> 'cancelled' and document.mirrors_document_id is null
  group by document.document_id, line.billing_event_id
), asked as (
  select billed.document_id, billed.billing_event_id, billed.amount as lines_amount, (
    select sum((item ->> 'amount')::numeric) from jsonb_array_elements(event.body -> 'items') as item
    where case billed.left_out_items when '[]' then item ->> 'item_id' <> all (billed.excluded_items)
      else not billed.left_out_items @> jsonb_build_array(jsonb_build_object(
        'billing_event_id', billed.billing_event_id, 'item_id', item ->> 'item_id')) end) as items_amount
  from billed left join billing_events as event using (billing_event_id)
)
select document_id, billing_event_id, lines_amount::text, items_amount::text
from asked where lines_amount is distinct from items_amount
order by document_id, billing_event_id limit $1
"""
_ONE_LIVE_DOCUMENT: Final = """
with live as (
  select document.document_id, event_id as billing_event_id
  from documents as document cross join lateral unnest(document.billing_event_ids) as event_id
  where document.status <> 'cancelled' and document.mirrors_document_id is null
    and not exists (select from documents as mirror
      where mirror.mirrors_document_id = document.document_id and event_id = any (mirror.billing_event_ids))
), counted as (
  select billing_event_id, count(*) as documents, min(document_id) as document_id from live group by billing_event_id
)
select coalesce(counted.billing_event_id, kept.billing_event_id) as billing_event_id, counted.documents,
  counted.document_id, kept.document_id as kept_document_id
from counted full join live_documents as kept using (billing_event_id)
where counted.documents is distinct from 1 or counted.document_id is distinct from kept.document_id
order by 1 limit $1
"""
_DOCUMENT_TOTALS: Final = """
with summed as (
  select document.document_id, document.total_net, document.total_tax, document.total_gross, document.line_count,
    coalesce((select sum(amount) from document_lines as line where line.document_id = document.document_id), 0) as net,
    (select count(*) from document_lines as line where line.document_id = document.document_id) as lines,
    coalesce((select sum(tax) from document_taxes as tax where tax.document_id = document.document_id), 0) as tax,
    coalesce((select sum(taxable) from document_taxes as tax where tax.document_id = document.document_id), 0)
      as taxable
  from documents as document
)
select document_id, total_net::text, total_tax::text, total_gross::text, net::text as lines_net,
  tax::text as taxes_tax, taxable::text as taxes_taxable
from summed
where total_net <> net or total_tax <> tax or taxable <> net or total_gross <> net + tax or line_count <> lines
order by document_id limit $1
"""
_MIRRORS: Final = """
select mirror.document_id, mirror.mirrors_document_id, mirror.billing_event_ids
from documents as mirror left join documents as original on original.document_id = mirror.mirrors_document_id
where mirror.mirrors_document_id is not null and (original.document_id is null or original.status <> 'validated'
  or original.kind = mirror.kind or not mirror.billing_event_ids <@ original.billing_event_ids)
order by mirror.document_id limit $1
"""
# No more than the original, per rate; and where no net is left, no tax is either (documents.md section 3.2).
_CORRECTIONS: Final = f"""
with summed as ({TAKEN_OF_ALL})
select document_id, category, rate::text, summed.net::text as corrected_net, original.taxable::text as net,
  summed.tax::text as corrected_tax, original.tax::text as tax
from summed left join document_taxes as original using (document_id, category, rate)
where original.taxable is null
  or summed.net not between least(original.taxable, 0) and greatest(original.taxable, 0)
  or summed.tax not between least(original.tax, 0) and greatest(original.tax, 0)
  or (summed.net = original.taxable and summed.tax <> original.tax)
order by document_id, category, rate limit $1
"""  # noqa: S608 - our own words
_NUMBERS: Final = """
with numbered as (
  select company_id, kind, split_part(number, '-', 2)::integer as year, split_part(number, '-', 3)::bigint as place,
    date
  from documents where status = 'validated'
), counted as (
  select company_id, kind, year, count(*) as documents, count(distinct place) as numbers, max(place) as last_number,
    max(date) as last_date, count(*) filter (where extract(year from date) <> year) as dates_wrong
  from numbered group by company_id, kind, year
)
select coalesce(counted.company_id, series.company_id) as company_id, coalesce(counted.kind, series.kind) as kind,
  coalesce(counted.year, series.year) as year, coalesce(counted.documents, 0) as documents,
  coalesce(counted.numbers, 0) as numbers, coalesce(counted.last_number, 0) as last_number,
  series.last_number as series_last_number, coalesce(counted.dates_wrong, 0) as dates_wrong
from counted full join number_series as series using (company_id, kind, year)
where coalesce(counted.documents, 0) is distinct from series.last_number
  or coalesce(counted.numbers, 0) <> coalesce(counted.documents, 0)
  or coalesce(counted.last_number, 0) <> coalesce(counted.documents, 0) or coalesce(counted.dates_wrong, 0) > 0
  or counted.last_date is distinct from series.last_date
order by 1, 2, 3 limit $1
"""
# Told on the topics, and not in the tables: after a restore. `number_given_to`: the document that has the number now.
_TOLD_DOCUMENTS: Final = """
select told.document_id, told.billing_event_id, told.number, told.date::text, again.document_id as number_given_to
from told_documents as told
left join billing_events as event using (billing_event_id)
left join documents as again
  on again.number = told.number and again.company_id = event.body ->> 'company_id'
where not exists (
  select from documents as known where known.document_id = told.document_id and known.number = told.number)
order by told.number, told.document_id, told.billing_event_id limit $1
"""
_DEAD_LETTERS: Final = """
with kept as (
  select topic, partition, count(*) as kept, max("offset") as last_offset from dead_letters group by topic, partition
), read as (
  select topic, partition, max(next_offset) as next_offset, sum(dead_letters)::bigint as counted
  from consumed_positions group by topic, partition
)
select kept.topic, kept.partition, kept.kept, read.counted, read.next_offset, kept.last_offset
from kept left join read using (topic, partition)
where read.counted is null or read.counted < kept.kept or read.next_offset <= kept.last_offset
order by 1, 2 limit $1
"""
_CHECKS: Final[Mapping[str, str]] = {
    "lines_match_items": _LINES_MATCH_ITEMS,
    "one_live_document": _ONE_LIVE_DOCUMENT,
    "document_totals": _DOCUMENT_TOTALS,
    "mirrors": _MIRRORS,
    "corrections": _CORRECTIONS,
    "numbers": _NUMBERS,
    "told_documents": _TOLD_DOCUMENTS,
    "dead_letters": _DEAD_LETTERS,
}
_POSITIONS: Final = "select * from consumed_positions order by line, topic, partition"


async def find_differences(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """The first differences of every check, by its name. The transaction must see one state of the tables."""
    found = {}
    for check, statement in _CHECKS.items():
        rows = await connection.fetch(statement, DIFFERENCES_MAX)
        found[check] = [dict(row) for row in rows]
    return found


async def read_positions(connection: Connection) -> list[dict[str, Any]]:
    """How far each line has read, and what became of the records."""
    return [dict(row) for row in await connection.fetch(_POSITIONS)]
