"""Whether what is billed of items and records is what released events hold (domain.md section 2, Billed once)."""

from collections.abc import Mapping
from typing import Final

_RELEASED: Final = "('released', 'invoiced', 'reverting', 'closed')"
_BILLED: Final = "not coalesce(event.left_out ? item.item_id, false)"
"""Left-out items are not billed: they can be moved or sent anew."""

# The stages are constants of ours; every value is a parameter.
_RECORD_TOTALS: Final = f"""
select kind, record_id, currency, total.billed as total, coalesce(items.amount, 0) as items
from (select * from record_totals where billed <> 0) as total
full join (
  select coalesce(item.adjusts_category, item.category) as kind, item.business_record_id as record_id, event.currency,
    sum(item.amount) as amount
  from billing_events as event join billing_event_items as item using (billing_event_id)
  where event.stage in {_RELEASED} and item.business_record_id is not null and {_BILLED} group by 1, 2, 3
) as items using (kind, record_id, currency)
where coalesce(total.billed, 0) <> coalesce(items.amount, 0)
order by kind, record_id, currency limit $1
"""  # noqa: S608
_BILLED_ITEMS: Final = f"""
select billing_event_id, item_id, held.copy as entry, items.item_id is not null as released
from billed_items as held
full join (
  select billing_event_id, item.item_id from billing_events as event join billing_event_items as item
    using (billing_event_id)
  where event.stage in {_RELEASED} and {_BILLED}
) as items using (billing_event_id, item_id)
where held.copy is null or items.item_id is null
order by billing_event_id, item_id limit $1
"""  # noqa: S608
# What was billed twice before the guard stays a difference until it is reverted or credited.
_BILLED_TWICE_BEFORE: Final = f"""
select twice.kind, twice.subject_id as record_id, null as item_id, total.currency, total.billed as total, record.amount
from billed_twice_before as twice
join record_totals as total on total.kind = twice.kind and total.record_id = twice.subject_id
left join business_records as record on record.kind = twice.kind and record.record_id = twice.subject_id
where total.billed <> 0 and (
  case when record.amount < 0 then total.billed < record.amount else total.billed > record.amount end
  or exists (
    select from record_totals as other where other.kind = total.kind and other.record_id = total.record_id
      and other.place <> total.place and other.billed <> 0)
  or record.amount is null and 1 < (
    select count(distinct billing.root_id) from (
      select coalesce(event.root_id, event.billing_event_id) as root_id, event.billing_event_id,
        sum(item.amount) as amount
      from billing_event_items as item join billing_events as event using (billing_event_id)
      where item.business_record_id = twice.subject_id
        and coalesce(item.adjusts_category, item.category) = twice.kind and event.stage in {_RELEASED} and {_BILLED}
      group by 1, 2
    ) as billing where sign(billing.amount) = sign(total.billed)))
union all
select twice.kind, null, twice.subject_id, null, null, null from billed_twice_before as twice
where twice.kind = 'item' and 1 < (select count(*) from billed_items as held where held.item_id = twice.subject_id)
order by kind, record_id, item_id limit $1
"""  # noqa: S608

BILLED_CHECKS: Final[Mapping[str, str]] = {
    "record_totals_match_released_items": _RECORD_TOTALS,
    "billed_items_match_released_items": _BILLED_ITEMS,
    "nothing_was_billed_twice_before": _BILLED_TWICE_BEFORE,
}
