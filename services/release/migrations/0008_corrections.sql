-- What corrects an event is looked up when that is reverted (documents.md section 3.4).
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '600s';

create index billing_events_corrects on billing_events (corrects_billing_event_id)
  where corrects_billing_event_id is not null;

-- migrate:down
drop index billing_events_corrects;
