-- What the accounting connector knows and makes: a projection of release's facts, who pays and who bills, documents with
-- their gapless numbers, and process runs with their log. Tables belong to the administrator; the service's role gets the
-- verbs it needs. Lines and taxes are append-only by grant, and of a document only what its states change can be updated.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

create table accounts (
  account_id text primary key,
  version bigint not null,
  name text not null,
  tax_id text,
  address jsonb not null
);
create index accounts_name on accounts (name);

create table companies (
  company_id text primary key,
  version bigint not null,
  name text not null,
  tax_id text,
  address jsonb not null
);

-- What a company sets for its documents; the highest version is in force, the others say what was.
create table company_settings (
  company_id text not null references companies,
  version integer not null check (version > 0),
  settings jsonb not null,
  changed_by jsonb,
  changed_at timestamptz not null default now(),
  primary key (company_id, version)
);

-- `stage` is release's word; what the connector itself knows goes before it: `closed` by a billing run, barred by a
-- withdrawal (which is kept, so that it tells the same when it is asked for again), a live document.
create table billing_events (
  billing_event_id text collate "C" primary key,
  project_id text not null,
  batch_id text,
  account_id text,
  company_id text,
  currency text not null,
  billing_event_currency text,
  date date not null,
  stage text not null check (stage in
    ('incomplete', 'awaiting_release', 'queued', 'released', 'invoiced', 'reverting', 'reverted', 'closed', 'deleted')),
  summary_amount numeric not null,
  item_count integer not null,
  job_id text,
  left_to_job boolean not null default false,
  starter jsonb,
  closed boolean not null default false,
  withdrawal jsonb,
  body jsonb not null
) with (fillfactor = 80);
create index billing_events_project on billing_events (project_id, date, billing_event_id);
create index billing_events_batch on billing_events (batch_id, date, billing_event_id) where batch_id is not null;
create index billing_events_account on billing_events (account_id, date, billing_event_id)
  where account_id is not null;
create index billing_events_released on billing_events (date, billing_event_id) where stage = 'released';
create index billing_events_job on billing_events (job_id, date, billing_event_id) where job_id is not null;

-- Which billing run holds an event (domain.md section 5, Claims).
create table claims (
  billing_event_id text collate "C" primary key,
  billing_run_id text not null,
  claimed_at timestamptz not null default now()
);
create index claims_billing_run on claims (billing_run_id);

create table documents (
  document_id text collate "C" primary key,
  kind text not null check (kind in ('sales_invoice', 'sales_credit_note')),
  status text not null check (status in ('draft', 'validated', 'cancelled')),
  number text not null,
  date date,
  due_date date,
  currency text not null,
  billing_event_currency text not null,
  account_id text not null,
  account jsonb not null,
  company_id text not null,
  company jsonb not null,
  engagement text,
  customer_reference text,
  billing_event_ids text[] collate "C" not null check (cardinality(billing_event_ids) > 0),
  billing_run_id text,
  process_run_id text,
  total_net numeric not null,
  total_tax numeric not null,
  total_gross numeric not null check (total_gross = total_net + total_tax),
  line_count integer not null check (line_count > 0),
  excluded_items text[] not null,
  corrects_document_id text collate "C",
  mirrors_document_id text collate "C",
  collection_date date,
  payment_days integer not null,
  additional_fields jsonb not null,
  starter jsonb,
  rendering text not null default 'none' check (rendering in ('none', 'queued', 'ready', 'failed', 'stale')),
  created_at timestamptz not null default now(),
  check ((status = 'validated') = (number not like 'DRAFT-%')),
  check (status <> 'validated' or (date is not null and due_date is not null))
) with (fillfactor = 85);
-- No number twice (domain.md section 6), and a document is taken back once.
create unique index documents_number on documents (company_id, number);
create unique index documents_mirrored on documents (mirrors_document_id) where mirrors_document_id is not null;
create index documents_created on documents (created_at, document_id);
create index documents_billing_run on documents (billing_run_id, document_id) where billing_run_id is not null;
create index documents_account on documents (account_id, created_at, document_id);
create index documents_billing_events on documents using gin (billing_event_ids);

create table document_lines (
  document_id text collate "C" not null,
  place integer not null,
  billing_event_id text collate "C" not null,
  billing_event_item_id text not null,
  description text not null,
  product text not null,
  quantity numeric not null,
  unit_price numeric not null,
  amount numeric not null,
  tax_category text not null,
  tax_rate numeric not null,
  additional_fields jsonb,
  primary key (document_id, place)
);

create table document_taxes (
  document_id text collate "C" not null,
  place integer not null,
  category text not null,
  rate numeric not null,
  taxable numeric not null,
  tax numeric not null,
  reason text,
  primary key (document_id, place)
);

-- The one live document of a billing event: the primary key is the rule, whatever races (domain.md section 4).
create table live_documents (
  billing_event_id text collate "C" primary key,
  document_id text collate "C" not null
);
create index live_documents_document on live_documents (document_id);

-- Gapless numbers: the row is locked from its reading until the transaction that numbers has ended.
create table number_series (
  company_id text not null,
  kind text not null check (kind in ('sales_invoice', 'sales_credit_note')),
  year integer not null,
  last_number integer not null default 0 check (last_number >= 0),
  last_date date check (last_date is null or extract(year from last_date) = year),
  primary key (company_id, kind, year)
) with (fillfactor = 50);

-- How far release's jobs are known: stage 2 starts when as many `released` facts were read as their end counts.
create table release_jobs (
  job_id text primary key,
  released_read integer not null default 0,
  released_told integer,
  and_invoice boolean,
  starter jsonb,
  is_counted boolean not null default false
) with (fillfactor = 70);

create table process_runs (
  process_run_id text primary key,
  kind text not null check (kind in ('on_demand', 'release_and_invoice', 'schedule', 'auto_pass', 'billing_run')),
  name text not null,
  status text not null check (status in ('in_progress', 'completed', 'completed_with_errors', 'failed')),
  selection jsonb not null,
  validates boolean not null,
  billing_run_id text,
  grouping text not null check (grouping in ('billing_event', 'account')),
  invoice_date date,
  collection_date date,
  threshold_amount numeric,
  threshold_currency text,
  job_id text,
  collects_job boolean not null default false,
  at_once boolean not null default false,
  starter jsonb,
  correlation_id text,
  causation_id text,
  traceparent text,
  invoices integer not null default 0,
  credit_notes integer not null default 0,
  not_passed integer not null default 0,
  already_done integer not null default 0,
  totals jsonb not null,
  first_reasons jsonb not null,
  additional_recipients text[] not null default '{}',
  unknown_wait_seconds double precision not null,
  created_at timestamptz not null default now(),
  worked_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((status = 'in_progress') = (ended_at is null))
) with (fillfactor = 70);
-- The run that was worked on longest ago comes next, so that a long one does not keep the others waiting.
create index process_runs_open on process_runs (worked_at, process_run_id) where status = 'in_progress';
create index process_runs_created on process_runs (created_at, process_run_id);
create index process_runs_ended on process_runs (ended_at) where ended_at is not null;

-- A run's frozen selection, in order, and its log.
create table process_run_events (
  place bigint generated always as identity primary key,
  process_run_id text not null,
  billing_event_id text collate "C" not null,
  result text not null default 'pending' check (result in ('pending', 'ok', 'error')),
  document_id text collate "C",
  reasons jsonb not null default '[]',
  due_at timestamptz not null default now(),
  decided_at timestamptz,
  check ((result = 'pending') = (decided_at is null))
) with (fillfactor = 85);
create unique index process_run_events_once on process_run_events (process_run_id, billing_event_id);
create index process_run_events_log on process_run_events (process_run_id, place);
create index process_run_events_pending on process_run_events (process_run_id, place) where result = 'pending';

-- Events to pass by themselves that a fill, a flag or a late account has made eligible, or that wait for such an account
-- or company; those of one act settle together, so that they become one process run.
create table auto_pass_due (
  billing_event_id text collate "C" primary key,
  act text not null,
  starter jsonb,
  causation_id text,
  correlation_id text,
  traceparent text,
  since timestamptz not null default now(),
  due_at timestamptz not null
);
create index auto_pass_due_act on auto_pass_due (act);
create index auto_pass_due_due on auto_pass_due (due_at);

-- Commands for what is not known yet, looked at again and again for a while (contract.md section 1).
create table waiting_commands (
  message_id text primary key,
  type text not null,
  body jsonb not null,
  correlation_id text,
  causation_id text,
  traceparent text,
  since timestamptz not null,
  due_at timestamptz not null
);
create index waiting_commands_due on waiting_commands (due_at);

grant select, insert, update on accounts, companies, billing_events, number_series, release_jobs
  to sluice_accounting_connector;
grant select, insert on company_settings, documents, document_lines, document_taxes to sluice_accounting_connector;
grant update (status, number, date, due_date, rendering) on documents to sluice_accounting_connector;
grant select, insert, update, delete on claims, live_documents, process_runs, process_run_events, auto_pass_due,
  waiting_commands to sluice_accounting_connector;

-- migrate:down
drop table waiting_commands, auto_pass_due, process_run_events, process_runs, release_jobs, number_series,
  live_documents, document_taxes, document_lines, documents, claims, billing_events, company_settings, companies,
  accounts;
