-- Billing runs: their events, documents, executions, rules and cycles, beside what they know of billing events and
-- accounts. Tables belong to the administrator; the service's role gets the verbs it needs. Rules and the execution log
-- are append-only by grant.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

create table accounts (
  account_id text primary key,
  version bigint not null,
  name text,
  billing_cycle_id text
);
create index accounts_billing_cycle on accounts (billing_cycle_id) where billing_cycle_id is not null;

-- What selection and statistics need of the release service's billing events. `figures` is a list of
-- {category, product, items, amount}, one per category and product.
create table billing_events (
  billing_event_id text primary key,
  project_id text not null,
  batch_id text,
  account_id text,
  date date not null,
  currency text not null,
  summary_amount numeric not null,
  stage text not null,
  missing text[] not null,
  figures jsonb not null
) with (fillfactor = 80);
create index billing_events_date on billing_events (date, billing_event_id);
create index billing_events_account on billing_events (account_id, date, billing_event_id) where account_id is not null;
create index billing_events_project on billing_events (project_id, date, billing_event_id);
create index billing_events_batch on billing_events (batch_id, date, billing_event_id) where batch_id is not null;

create table billing_cycles (
  billing_cycle_id text primary key,
  name text not null,
  accounts text[],
  frequency text not null,
  cut_off_day integer,
  changed_at timestamptz not null default now()
);

create table rules (
  code text not null,
  version integer not null,
  kind text,
  priority integer not null,
  active_from date,
  active_to date,
  fail_status text not null check (fail_status in ('rejected', 'suspect')),
  mode text not null check (mode in ('validation', 'rejection', 'condition')),
  expression text,
  combine text check (combine in ('and', 'or')),
  children jsonb not null,
  message text not null,
  saved_by jsonb,
  saved_at timestamptz not null default now(),
  primary key (code, version)
);

-- `due`: a worker has something to do for the run.
create table runs (
  run_id text primary key,
  kind text not null check (kind in ('exceptional', 'cycle')),
  process_type text not null check (process_type in ('manual', 'automatic', 'full_automatic')),
  scope jsonb not null,
  invoice_date date not null,
  collection_date date,
  grouping text not null check (grouping in ('billing_event', 'account')),
  skip_validation_rules boolean not null,
  recompute_dates_at_validation boolean not null,
  incremental boolean not null,
  on_rejected text not null,
  on_suspect text not null,
  release_first boolean not null,
  threshold_amount numeric,
  threshold_currency text,
  description text not null,
  request_hash bytea,
  status text not null check (status in ('new', 'open', 'creating_invoice_lines', 'invoice_lines_created',
    'creating_invoices', 'draft_invoices', 'rejected', 'validating', 'validated', 'cancelling', 'cancelled')),
  execution text not null check (execution in ('idle', 'queued', 'running', 'failed')),
  disabled boolean not null,
  due boolean not null default false,
  quarantine_run_id text references runs,
  quarantine_of text references runs unique,
  starter jsonb,
  created_at timestamptz not null default now(),
  check ((threshold_amount is null) = (threshold_currency is null)),
  check (not (disabled and status in ('validated', 'cancelled')))
) with (fillfactor = 70);
create index runs_due on runs (run_id) where due;
create index runs_created on runs (created_at, run_id);

-- One execution of a step. `asked` and `answered` count what went to other services and what has come back; the expected
-- figures are what the connector says that it published, the seen ones what has been read of it.
create table executions (
  execution_id text primary key,
  run_id text not null references runs,
  number integer not null,
  step text not null check (step in
    ('release', 'invoice_lines', 'invoices', 'validation', 'cancellation', 'xml', 'pdf')),
  status text not null check (status in
    ('queued', 'running', 'completed', 'completed_with_warnings', 'completed_with_errors', 'failed')),
  phase text not null,
  place jsonb,
  closes_events boolean not null,
  starter jsonb,
  correlation_id text,
  causation_id text,
  traceparent text,
  queued_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz,
  to_do integer not null default 0,
  done integer not null default 0,
  warnings integer not null default 0,
  errors integer not null default 0,
  log_lines integer not null default 0,
  parts integer not null default 0,
  asked integer not null default 0,
  answered integer not null default 0,
  process_run_id text unique,
  documents_expected integer,
  documents_seen integer not null default 0,
  not_passed_expected integer,
  not_passed_seen integer not null default 0,
  unique (run_id, number)
) with (fillfactor = 70);

create table execution_log (
  entry_id bigint generated always as identity primary key,
  execution_id text not null references executions,
  recorded_at timestamptz not null,
  level text not null check (level in ('information', 'warning', 'error')),
  message text not null,
  subject_id text
);
create index execution_log_execution on execution_log (execution_id, entry_id);

-- The jobs of a release step; a job is over once as many of its facts have been read as it says that it published.
create table release_jobs (
  job_id text primary key,
  execution_id text not null references executions,
  events integer not null,
  released_expected integer,
  released_seen integer not null default 0,
  failed_expected integer,
  failed_seen integer not null default 0,
  is_over boolean not null default false
);
create index release_jobs_execution on release_jobs (execution_id);

-- The events of a run: what it selected and asked for, what it could not have, and the fate of what it claimed
-- (domain.md section 6, point 4). Amount and currency are null until the event itself is known here.
create table run_events (
  run_id text not null references runs,
  billing_event_id text not null,
  state text not null check (state in ('selected', 'asked', 'left_out',
    'draft', 'validated', 'reopened', 'cancelled', 'below_threshold', 'failed')),
  claimed boolean not null default false,
  let_go boolean not null default false,
  currency text,
  amount numeric,
  document_id text,
  reasons jsonb,
  primary key (run_id, billing_event_id),
  check (claimed = (state in ('draft', 'validated', 'reopened', 'cancelled', 'below_threshold', 'failed')))
) with (fillfactor = 80);
create index run_events_state on run_events (run_id, state, billing_event_id);
create index run_events_held on run_events (billing_event_id) where state = 'draft';
create index run_events_document on run_events (document_id) where document_id is not null;
create index run_events_without_amount on run_events (billing_event_id) where amount is null;

-- The documents that are in a run now. `asked` is an action that the connector has yet to answer; without `asked_by`
-- it waits until no step runs. `judged_by` is the execution that last ran the rules again, `refused_by` the one whose
-- question the connector refused, so that neither does it twice.
create table run_documents (
  document_id text primary key,
  run_id text not null references runs,
  drafted_by_run_id text not null references runs,
  process_run_id text,
  kind text not null check (kind in ('sales_invoice', 'sales_credit_note')),
  status text not null check (status in ('draft', 'validated', 'cancelled')),
  review text not null check (review in ('draft', 'suspect', 'rejected', 'validated', 'cancelled')),
  rejected_by text check (rejected_by in ('rule', 'user')),
  reason text,
  findings jsonb not null,
  number text,
  date date,
  currency text not null,
  account_id text not null,
  company_id text not null,
  total_net numeric not null,
  total_gross numeric not null,
  document jsonb not null,
  refusal jsonb,
  asked text check (asked in ('validate', 'cancel')),
  asked_by text,
  asked_closes_events boolean,
  asked_starter jsonb,
  judged_by text,
  refused_by text,
  xml_file text check (xml_file in ('queued', 'ready', 'failed', 'stale')),
  pdf_file text check (pdf_file in ('queued', 'ready', 'failed', 'stale')),
  check ((rejected_by is not null) = (review = 'rejected')),
  check ((status = 'validated') = (review = 'validated')),
  check ((status = 'cancelled') = (review = 'cancelled'))
) with (fillfactor = 70);
create index run_documents_run on run_documents (run_id, document_id);
create index run_documents_review on run_documents (run_id, review, document_id);
create index run_documents_waiting on run_documents (run_id, document_id) where asked is not null and asked_by is null;

-- Commands for runs that are not known yet, whole as they came, until their deadline (contract.md section 1).
create table waiting_commands (
  message_id text primary key,
  run_id text not null,
  topic text not null,
  partition integer not null,
  "offset" bigint not null,
  recorded_at_milliseconds bigint not null,
  key bytea,
  value bytea,
  headers jsonb not null,
  deadline timestamptz not null
);
create index waiting_commands_run on waiting_commands (run_id);
create index waiting_commands_deadline on waiting_commands (deadline);

grant select, insert, update on accounts, billing_events, billing_cycles, runs, executions, release_jobs, run_events,
  run_documents to sluice_billing_runs;
grant select, insert on rules, execution_log to sluice_billing_runs;
grant select, insert, update, delete on waiting_commands to sluice_billing_runs;

-- migrate:down
drop table waiting_commands, run_documents, run_events, release_jobs, execution_log, executions, runs, rules,
  billing_cycles, billing_events, accounts;
