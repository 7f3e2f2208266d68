-- Dry runs of release jobs, and the reconciliation that runs by itself.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- The dry run that a job was confirmed with.
alter table release_jobs add column validated_by_job_id text;

-- What the chunks of a dry run would have released so far, for those that follow; gone when the dry run has ended.
create table dry_run_totals (
  job_id text not null,
  project_id text not null,
  budget_id text,
  currency text not null,
  released numeric not null,
  unique nulls not distinct (job_id, project_id, budget_id, currency)
);

-- The events that its splits would have made.
create table dry_run_events (
  job_id text not null,
  billing_event_id text collate "C" not null,
  primary key (job_id, billing_event_id)
);

-- When each check of the books was last begun.
create table reconciliation_checks (
  check_name text primary key,
  checked_at timestamptz not null default now()
);
create index reconciliation_checks_due on reconciliation_checks (checked_at);

-- Differences that operators have been told of, until they are gone; named by what differs, not by its figures.
create table known_differences (
  check_name text not null,
  subject text not null,
  found_at timestamptz not null default now(),
  primary key (check_name, subject)
);

grant select, insert, update on reconciliation_checks to sluice_release;
grant select, insert, update, delete on dry_run_totals, dry_run_events to sluice_release;
grant select, insert, delete on known_differences to sluice_release;

-- migrate:down
drop table known_differences, reconciliation_checks, dry_run_events, dry_run_totals;
alter table release_jobs drop column validated_by_job_id;
