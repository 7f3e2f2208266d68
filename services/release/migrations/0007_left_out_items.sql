-- Items that an event's document leaves out, and their way to a new event.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- By item id, the item criterion that each does not meet; null where nothing is left out. The document is the event's.
alter table billing_events add column left_out jsonb;
alter table billing_events add constraint billing_events_left_out_check check (
  left_out is null or left_out <> '{}' and document_id is not null and stage in ('invoiced', 'reverting')) not valid;
create index billing_events_left_out on billing_events (billing_event_id) where left_out is not null;

-- What is moved is given back to the cap.
-- squawk-ignore ban-drop-constraint
alter table cap_ledger drop constraint cap_ledger_act_check;
alter table cap_ledger add constraint cap_ledger_act_check check (act in ('release', 'move', 'revert')) not valid;

-- migrate:down
-- squawk-ignore ban-drop-constraint
alter table cap_ledger drop constraint cap_ledger_act_check;
alter table cap_ledger add constraint cap_ledger_act_check check (act in ('release', 'revert')) not valid;
alter table billing_events drop column left_out;
