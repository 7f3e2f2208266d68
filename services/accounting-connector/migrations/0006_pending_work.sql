-- What failed by a fault of our own is not final: it is tried again until it succeeds or somebody ends it.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- `failing`: pending events that have been tried; since when the run has any. `failures`: how often the run itself could
-- not be worked, and when it is to be again.
alter table process_runs add column failing integer not null default 0;
alter table process_runs add column failing_since timestamptz;
alter table process_runs add column failures integer not null default 0;
alter table process_runs add column due_at timestamptz;
-- How often a pending event has been tried: 0, not worked yet.
alter table process_run_events add column failures integer not null default 0;
-- How often a command has failed, and since when.
alter table waiting_commands add column failures integer not null default 0;
alter table waiting_commands add column failing_since timestamptz;
-- Few rows, in a table that is pruned.
-- squawk-ignore require-concurrent-index-creation
create index process_runs_failing on process_runs (worked_at, process_run_id) where failing > 0;

-- migrate:down
drop index process_runs_failing;
alter table waiting_commands drop column failing_since, drop column failures;
alter table process_run_events drop column failures;
alter table process_runs drop column due_at, drop column failures, drop column failing_since, drop column failing;
