-- What documents leave out by their companies' item criteria, and process runs that say so.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- Beside `excluded_items`, which holds the ids alone: of which event each is, its amount, and the criterion. Empty on
-- documents from before.
alter table documents add column left_out_items jsonb not null default '[]';

-- Events that were passed with something to look at; by currency, how many items were left out and what they come to.
alter table process_runs add column warnings integer not null default 0;
alter table process_runs add column left_out jsonb not null default '{}';

-- squawk-ignore ban-drop-constraint
alter table process_run_events drop constraint process_run_events_result_check;
alter table process_run_events add constraint process_run_events_result_check
  check (result in ('pending', 'ok', 'warning', 'error')) not valid;

-- migrate:down
update process_run_events set result = 'ok' where result = 'warning';
-- squawk-ignore ban-drop-constraint
alter table process_run_events drop constraint process_run_events_result_check;
alter table process_run_events add constraint process_run_events_result_check
  check (result in ('pending', 'ok', 'error')) not valid;
alter table process_runs drop column left_out;
alter table process_runs drop column warnings;
alter table documents drop column left_out_items;
