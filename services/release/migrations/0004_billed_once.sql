-- What is billed of items and business records, so that nothing is billed twice; currencies that a cap was used in.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '30min';

-- The kind of the business record that a generated adjustment counts on: that of the item which it adjusts.
alter table billing_event_items add column adjusts_category text;
update billing_event_items as adjustment set adjusts_category = (
  select coalesce(adjusted.adjusts_category, adjusted.category)
  from billing_events as holder
  join billing_events as other on coalesce(other.root_id, other.billing_event_id)
    = coalesce(holder.root_id, holder.billing_event_id)
  join billing_event_items as adjusted on adjusted.billing_event_id = other.billing_event_id
  where holder.billing_event_id = adjustment.billing_event_id and adjusted.item_id = adjustment.adjusts_item_id
    and adjusted.adjusts_item_id is null
  limit 1
)
where adjusts_item_id is not null;

-- The events that bill an item: one, and more only where the guard is not set to refuse, or from before there was one.
-- The first entry of an item is what two events race for.
create table billed_items (
  item_id text collate "C" not null,
  copy integer not null check (copy > 0),
  billing_event_id text collate "C" not null,
  primary key (item_id, copy)
);

-- What is billed of a business record, by currency: more than one only where the guard is not set to refuse. The first
-- row of a record is what serialises its billing, whatever the projects, so that none is ever deleted. The limit is that
-- of a single item above the record's amount.
create table record_totals (
  kind text not null,
  record_id text collate "C" not null,
  place integer not null check (place > 0),
  currency text not null,
  billed numeric not null,
  record_limit numeric,
  primary key (kind, record_id, place)
) with (fillfactor = 90);

-- What was billed twice before anything was held against it: told once, and shown until it is put right.
create table billed_twice_before (
  kind text not null,
  subject_id text collate "C" not null,
  primary key (kind, subject_id)
);

-- What the chunks of a dry run would have billed, for those that follow; gone when the dry run has ended.
create table dry_run_items (
  job_id text not null,
  item_id text collate "C" not null,
  billing_event_id text collate "C" not null,
  primary key (job_id, item_id, billing_event_id)
);
create table dry_run_billings (
  job_id text not null,
  kind text not null,
  record_id text collate "C" not null,
  billing_event_id text collate "C" not null,
  root_id text collate "C" not null,
  currency text not null,
  amount numeric not null,
  record_limit numeric,
  primary key (job_id, kind, record_id, billing_event_id)
);

insert into billed_items (item_id, copy, billing_event_id)
select item.item_id, row_number() over (partition by item.item_id order by event.released_at, event.billing_event_id),
  event.billing_event_id
from billing_events as event join billing_event_items as item using (billing_event_id)
where event.stage in ('released', 'invoiced', 'reverting', 'closed');

insert into record_totals (kind, record_id, place, currency, billed)
select kind, record_id, row_number() over (partition by kind, record_id order by currency), currency, billed
from (
  select coalesce(item.adjusts_category, item.category) as kind, item.business_record_id as record_id, event.currency,
    sum(item.amount) as billed
  from billing_events as event join billing_event_items as item using (billing_event_id)
  where event.stage in ('released', 'invoiced', 'reverting', 'closed') and item.business_record_id is not null
  group by 1, 2, 3
) as sums;

insert into billed_twice_before (kind, subject_id) select distinct 'item', item_id from billed_items where copy > 1;
insert into billed_twice_before (kind, subject_id)
select total.kind, total.record_id from record_totals as total
left join business_records as record on record.kind = total.kind and record.record_id = total.record_id
where total.kind in ('timecard', 'expense', 'milestone', 'miscellaneous_adjustment') and total.billed <> 0
  and case when record.amount < 0 then total.billed < record.amount else total.billed > record.amount end
union
select kind, record_id from record_totals
where kind in ('timecard', 'expense', 'milestone', 'miscellaneous_adjustment') and billed <> 0
group by kind, record_id having count(*) > 1
union
select billing.kind, billing.record_id from (
  select coalesce(item.adjusts_category, item.category) as kind, item.business_record_id as record_id,
    coalesce(event.root_id, event.billing_event_id) as root_id, event.billing_event_id, sum(item.amount) as amount
  from billing_events as event join billing_event_items as item using (billing_event_id)
  where event.stage in ('released', 'invoiced', 'reverting', 'closed') and item.business_record_id is not null
  group by 1, 2, 3, 4
) as billing
join record_totals as total on total.kind = billing.kind and total.record_id = billing.record_id
left join business_records as record on record.kind = billing.kind and record.record_id = billing.record_id
where record.amount is null and sign(total.billed) = sign(billing.amount) and billing.amount <> 0
  and billing.kind in ('timecard', 'expense', 'milestone', 'miscellaneous_adjustment')
group by billing.kind, billing.record_id having count(distinct billing.root_id) > 1;

-- Whether something was released in this currency while it was the project's own: what then stands in it keeps a cap
-- from beginning anew in another one. Before, the decisions of a cap say so: they were made in its currency.
alter table project_totals add column in_own_currency boolean not null default true;
alter table budget_totals add column in_own_currency boolean not null default true;
update project_totals as total set in_own_currency = false
where not exists (
    select from projects where projects.project_id = total.project_id and projects.currency = total.currency)
  and not exists (
    select from cap_ledger as entry
    where entry.project_id = total.project_id and entry.currency = total.currency and entry.budget_id is null
      and entry.decision ->> 'rule' is distinct from 'not_enforced');
update budget_totals as total set in_own_currency = false
where not exists (
    select from projects where projects.project_id = total.project_id and projects.currency = total.currency)
  and not exists (
    select from cap_ledger as entry
    where entry.project_id = total.project_id and entry.currency = total.currency and entry.budget_id = total.budget_id
      and entry.decision ->> 'rule' is distinct from 'not_enforced');

grant select, insert, delete on billed_items to sluice_release;
grant select, insert, update on record_totals to sluice_release;
grant select on billed_twice_before to sluice_release;
grant select, insert, delete on dry_run_items, dry_run_billings to sluice_release;

-- migrate:down
alter table budget_totals drop column in_own_currency;
alter table project_totals drop column in_own_currency;
drop table dry_run_billings, dry_run_items, billed_twice_before, record_totals, billed_items;
alter table billing_event_items drop column adjusts_category;
