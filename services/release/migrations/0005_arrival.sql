-- Items whose category is not their record's kind, and events that wait for long.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '300s';

alter table billing_event_items add column category_mismatch boolean not null default false;
create index business_records_id on business_records (record_id);

-- Since when an event has waited for what it is completed from; null while it waits for nothing.
alter table billing_events add column incomplete_since timestamptz;
update billing_events set incomplete_since = changed_at where stage = 'incomplete';

-- The events whose long waiting operators were told of: once each.
create table incomplete_alerts (
  billing_event_id text collate "C" primary key,
  told_at timestamptz not null default now()
);

-- What waits for a record that is known as another kind is completed, and what is complete with one is marked.
insert into completions_due (billing_event_id)
select distinct item.billing_event_id from billing_event_items as item
  join billing_events as event using (billing_event_id)
  join business_records as record on record.record_id = item.business_record_id and record.kind <> item.category
where event.stage in ('incomplete', 'awaiting_release', 'queued') and item.adjusts_item_id is null
on conflict do nothing;

grant select, insert on incomplete_alerts to sluice_release;

-- migrate:down
drop table incomplete_alerts;
alter table billing_events drop column incomplete_since;
drop index business_records_id;
alter table billing_event_items drop column category_mismatch;
