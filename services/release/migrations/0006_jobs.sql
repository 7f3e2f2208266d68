-- Release jobs: stopped, started with their own rule for failed chunks, with chunks that wait or are tried again.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- When an event's amount last changed, for selections as of a moment; null: not since before this migration.
alter table billing_events add column amount_changed_at timestamptz;
alter table billing_events alter column amount_changed_at set default now();

-- `on_chunk_failure` null: the setting, since the job is older than this migration. `stopper` is who asked to stop it.
alter table release_jobs add column on_chunk_failure text;
alter table release_jobs add column held_back integer not null default 0;
alter table release_jobs add column stopped integer not null default 0;
alter table release_jobs add column stop_asked_at timestamptz;
alter table release_jobs add column stopper jsonb;
-- Not validated: the rows that are there passed the narrower check.
alter table release_jobs add constraint release_jobs_status check
  (status in ('queued', 'running', 'completed', 'completed_with_errors', 'stopped', 'failed')) not valid;
-- squawk-ignore ban-drop-constraint
alter table release_jobs drop constraint release_jobs_status_check;

alter table release_job_events add column held_back boolean not null default false;
alter table release_job_events add column can_be_split boolean not null default false;
alter table release_job_events add constraint release_job_events_result check
  (result in ('pending', 'ok', 'error', 'stopped')) not valid;
-- squawk-ignore ban-drop-constraint
alter table release_job_events drop constraint release_job_events_result_check;

-- Chunks that were passed over: they wait for what other topics bring, or failed by a fault of ours and are tried again.
-- A job's other chunks go on meanwhile; `release_jobs.done` counts the places that have been passed.
create table release_job_chunks_put_off (
  job_id text not null references release_jobs,
  first_place integer not null,
  last_place integer not null,
  cause text not null check (cause in ('waits', 'failed')),
  reason text,
  waits_for jsonb not null default '[]',
  tries integer not null default 0,
  since timestamptz not null default now(),
  due_at timestamptz not null,
  primary key (job_id, first_place)
);
create index release_job_chunks_put_off_due on release_job_chunks_put_off (due_at);
grant select, insert, update, delete on release_job_chunks_put_off to sluice_release;

-- migrate:down
drop table release_job_chunks_put_off;
-- squawk-ignore ban-drop-constraint
alter table release_job_events drop constraint release_job_events_result, drop column can_be_split, drop column held_back;
-- squawk-ignore ban-drop-constraint
alter table release_jobs drop constraint release_jobs_status, drop column stopper, drop column stop_asked_at,
  drop column stopped, drop column held_back, drop column on_chunk_failure;
alter table billing_events drop column amount_changed_at;
