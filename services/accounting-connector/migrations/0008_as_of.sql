-- When a billing event became known here, and when its amount last changed, for selections as of a moment.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- Null: before this migration.
alter table billing_events add column registered_at timestamptz;
alter table billing_events add column amount_changed_at timestamptz;
alter table billing_events alter column registered_at set default now();

-- migrate:down
alter table billing_events drop column registered_at, drop column amount_changed_at;
