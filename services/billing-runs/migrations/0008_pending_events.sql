-- Events whose document failed by a fault of the connector's own, which tries them again.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- How many events the process run said it would try again when it ended.
alter table executions add column pending_expected integer not null default 0;

-- Not validated: the rows that are there passed the narrower checks.
alter table run_events add constraint run_events_state_known check (state in ('selected', 'asked', 'left_out',
  'draft', 'pending', 'validated', 'reopened', 'cancelled', 'below_threshold', 'failed')) not valid;
-- squawk-ignore ban-drop-constraint
alter table run_events drop constraint run_events_state_check;
alter table run_events add constraint run_events_claimed check (claimed = (state in
  ('draft', 'pending', 'validated', 'reopened', 'cancelled', 'below_threshold', 'failed'))) not valid;
-- squawk-ignore ban-drop-constraint
alter table run_events drop constraint run_events_check;

-- migrate:down
-- squawk-ignore ban-drop-constraint
alter table run_events drop constraint run_events_claimed, drop constraint run_events_state_known;
alter table executions drop column pending_expected;
