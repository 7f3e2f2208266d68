-- Whether a billing event is held back: its release is asked for all the same, but nothing can be expected of it.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table billing_events add column on_hold boolean not null default false;

-- migrate:down
alter table billing_events drop column on_hold;
