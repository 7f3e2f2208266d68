-- Files of documents, with those who have asked for them, and when companies' schedules were last due.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- A document has no row here for a format that nobody has asked for. `queued`: to be made from `due_at` on, which a worker
-- puts off while it is at work; `stale`: made of the draft, and not right since its validation.
create table document_files (
  document_id text collate "C" not null,
  format text not null check (format in ('xml', 'pdf')),
  state text not null check (state in ('queued', 'ready', 'failed', 'stale')),
  bytes bytea,
  size integer,
  sha256 text,
  rendered_at timestamptz,
  reasons jsonb not null default '[]',
  attempts integer not null default 0 check (attempts >= 0),
  due_at timestamptz not null default now(),
  primary key (document_id, format),
  check ((state = 'ready') = (bytes is not null)),
  check ((bytes is null) = (sha256 is null) and (bytes is null) = (rendered_at is null)),
  check (size is not distinct from octet_length(bytes))
) with (fillfactor = 70);
-- A PDF is compressed already.
alter table document_files alter column bytes set storage external;
create index document_files_due on document_files (due_at, document_id, format) where state = 'queued';

-- Who waits for a file to be made; each is answered by a fact of their own, which names the job that asked.
create table file_requests (
  place bigint generated always as identity primary key,
  document_id text collate "C" not null,
  format text not null check (format in ('xml', 'pdf')),
  job_id text,
  starter jsonb,
  correlation_id text,
  causation_id text,
  traceparent text
);
create index file_requests_file on file_requests (document_id, format);

-- What was rendered stands in `document_files`, by format.
alter table documents drop column rendering;

-- The instant for which a company's schedule last made a process run.
create table scheduled_runs (
  company_id text primary key,
  due_at timestamptz not null
);
create index billing_events_company on billing_events (company_id, date, billing_event_id)
  where stage = 'released' and company_id is not null;

grant select, insert, update on document_files, scheduled_runs to sluice_accounting_connector;
grant select, insert, delete on file_requests to sluice_accounting_connector;

-- migrate:down
drop index billing_events_company;
drop table scheduled_runs;
alter table documents add column rendering text not null default 'none'
  check (rendering in ('none', 'queued', 'ready', 'failed', 'stale'));
grant update (rendering) on documents to sluice_accounting_connector;
drop table file_requests, document_files;
