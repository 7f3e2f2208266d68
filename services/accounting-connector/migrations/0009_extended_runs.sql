-- Process runs that have ended and got more events: a release job has released later what had failed by a fault of ours.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table process_runs add column extended integer not null default 0;

-- migrate:down
alter table process_runs drop column extended;
