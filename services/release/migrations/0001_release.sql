-- What the release service knows and decides: sources, billing events, caps with their ledger, jobs, history.
-- Tables belong to the administrator; the service's role gets the verbs it needs. The ledger and the history are
-- append-only by grant.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

create table projects (
  project_id text primary key,
  version bigint not null,
  name text,
  account_id text,
  company_id text,
  region text,
  practice text,
  "group" text,
  currency text not null,
  engagement text,
  services_product text,
  bookings numeric,
  apply_billing_cap boolean not null,
  auto_cap_billing boolean not null,
  alert_threshold numeric,
  alert_recipient text,
  bill_to_budget_cap boolean not null,
  on_hold boolean not null,
  received_at timestamptz not null default now()
);
create index projects_region on projects (region) where region is not null;
create index projects_practice on projects (practice) where practice is not null;
create index projects_group on projects ("group") where "group" is not null;

create table budgets (
  project_id text not null references projects,
  budget_id text not null,
  name text,
  kind text,
  amount numeric not null,
  customer_reference text,
  apply_billing_cap boolean not null,
  primary key (project_id, budget_id)
);

create table accounts (
  account_id text primary key,
  version bigint not null,
  name text,
  cap_tolerance_amount numeric,
  cap_tolerance_currency text
);

create table companies (
  company_id text primary key,
  version bigint not null,
  name text,
  accounting_currencies text[] not null,
  regions text[] not null,
  practices text[] not null,
  groups text[] not null
);

create table exchange_rates (
  from_currency text not null,
  to_currency text not null,
  version bigint not null,
  rate numeric not null check (rate > 0),
  primary key (from_currency, to_currency)
);

create table business_records (
  kind text not null,
  record_id text not null,
  version bigint not null,
  parent_kind text,
  parent_record_id text,
  project_id text,
  services_product text,
  name text,
  description text,
  quantity numeric,
  unit_price numeric,
  amount numeric,
  primary key (kind, record_id)
);
create index business_records_parent on business_records (parent_kind, parent_record_id)
  where parent_record_id is not null;

create table billing_events (
  billing_event_id text collate "C" primary key,
  version bigint not null,
  project_id text not null,
  batch_id text,
  date date not null,
  currency text not null,
  account_id text,
  company_id text,
  billing_event_currency text,
  customer_reference text,
  auto_pass_to_accounting boolean not null,
  corrects_billing_event_id text,
  fields jsonb not null,
  filled jsonb not null,
  missing text[] not null,
  waits_for jsonb not null,
  stage text not null check (stage in
    ('incomplete', 'awaiting_release', 'queued', 'released', 'invoiced', 'reverting', 'reverted', 'closed', 'deleted')),
  stage_before_revert text,
  on_hold boolean not null default false,
  summary_amount numeric not null,
  item_count integer not null,
  origin_id text collate "C",
  root_id text collate "C",
  made_by_cap boolean not null default false,
  queued_by text,
  released_at timestamptz,
  released_by text,
  released_by_job_id text,
  release_starter jsonb,
  document_id text,
  invoice_number text,
  invoice_date date,
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now(),
  check ((stage in ('released', 'invoiced', 'reverting', 'reverted', 'closed')) = (released_at is not null)),
  check ((stage = 'queued') = (queued_by is not null))
) with (fillfactor = 80);
create index billing_events_project on billing_events (project_id, billing_event_id);
create index billing_events_batch on billing_events (batch_id, billing_event_id) where batch_id is not null;
create index billing_events_account on billing_events (account_id, billing_event_id) where account_id is not null;
create index billing_events_company on billing_events (company_id) where company_id is not null;
create index billing_events_stage_date on billing_events (stage, date, billing_event_id);
create index billing_events_root on billing_events (root_id) where root_id is not null;
create index billing_events_queued_by on billing_events (queued_by) where queued_by is not null;

create table billing_event_items (
  billing_event_id text collate "C" not null references billing_events on delete cascade,
  item_id text not null,
  created_at timestamptz not null,
  category text not null,
  business_record_id text,
  business_record_version bigint,
  date date,
  description text not null,
  quantity numeric not null,
  unit_price numeric not null,
  amount numeric not null,
  services_product text,
  services_product_from text,
  accounting_line_description text,
  budget_id text,
  adjusts_item_id text,
  fields jsonb not null,
  primary key (billing_event_id, item_id)
);
create index billing_event_items_record on billing_event_items (business_record_id, category)
  where business_record_id is not null;

-- A delete that came before its event.
create table deleted_billing_events (
  billing_event_id text collate "C" primary key,
  version bigint not null,
  received_at timestamptz not null default now()
);

-- Sources that have arrived or changed, until the events that depend on them have been looked for: not before every
-- transaction has ended that may have read the source as it was.
create table source_changes (
  change_id bigint generated always as identity primary key,
  kind text not null,
  source_id text not null,
  correlation_id text,
  causation_id text,
  traceparent text
);

-- Events to complete again, since a source of theirs has arrived or changed.
create table completions_due (
  billing_event_id text collate "C" primary key,
  correlation_id text,
  causation_id text,
  traceparent text,
  due_since timestamptz not null default now()
);

-- Released totals per currency; the ceiling is what an enforced cap allows, so that the schema refuses what a defect
-- in the deciding would let through.
create table project_totals (
  project_id text not null,
  currency text not null,
  released numeric not null,
  ceiling numeric,
  primary key (project_id, currency),
  constraint never_over_project_cap check (ceiling is null or released <= ceiling)
) with (fillfactor = 70);

create table budget_totals (
  project_id text not null,
  budget_id text not null,
  currency text not null,
  released numeric not null,
  ceiling numeric,
  primary key (project_id, budget_id, currency),
  constraint never_over_budget_cap check (ceiling is null or released <= ceiling)
) with (fillfactor = 70);

create table cap_ledger (
  entry_id bigint generated always as identity primary key,
  recorded_at timestamptz not null default now(),
  project_id text not null,
  budget_id text,
  billing_event_id text collate "C" not null,
  act text not null check (act in ('release', 'revert')),
  amount numeric not null,
  currency text not null,
  released_after numeric not null,
  decision jsonb not null
);
create index cap_ledger_project on cap_ledger (project_id, entry_id);
create index cap_ledger_event on cap_ledger (billing_event_id);
-- An event is counted once, and given back once.
create unique index cap_ledger_once on cap_ledger (billing_event_id, act, coalesce(budget_id, ''));

create table billing_event_history (
  entry_id bigint generated always as identity primary key,
  billing_event_id text collate "C" not null,
  recorded_at timestamptz not null default now(),
  what text not null,
  actor jsonb,
  job_id text,
  correlation_id text,
  detail jsonb not null
);
create index billing_event_history_event on billing_event_history (billing_event_id, entry_id);

create table release_jobs (
  job_id text primary key,
  mode text not null check (mode in ('background', 'auto', 'quick')),
  and_invoice boolean not null,
  dry_run boolean not null default false,
  selection jsonb not null,
  request_hash bytea not null,
  status text not null check (status in ('queued', 'running', 'completed', 'completed_with_errors', 'failed')),
  starter jsonb,
  permitted_projects text[],
  correlation_id text,
  traceparent text,
  process_run_id text,
  chunk_size integer not null,
  total integer not null,
  done integer not null default 0,
  released integer not null default 0,
  failed integer not null default 0,
  failure text,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  worked_at timestamptz not null default now(),
  ended_at timestamptz
);
-- The job that was worked on longest ago comes next, so that a long one does not keep the others waiting.
create index release_jobs_open on release_jobs (worked_at, job_id) where status in ('queued', 'running');
create index release_jobs_created on release_jobs (created_at, job_id);

create table release_job_events (
  job_id text not null references release_jobs,
  place integer not null,
  billing_event_id text collate "C" not null,
  result text not null default 'pending' check (result in ('pending', 'ok', 'error')),
  new_billing_event_id text collate "C",
  reasons jsonb,
  decided_at timestamptz,
  primary key (job_id, place),
  unique (job_id, billing_event_id)
);
create index release_job_events_failed on release_job_events (job_id, place) where result = 'error';

-- Unreleased events that are deleted when the event that they were split from has been reverted with cascade; on hold
-- until then, so that a refused revert can let them go on.
create table revert_deletions (
  billing_event_id text collate "C" primary key,
  reverting_id text collate "C" not null,
  was_on_hold boolean not null
);
create index revert_deletions_reverting on revert_deletions (reverting_id);

-- Commands for what is not known yet; refused when their deadline passes (contract.md section 1).
create table waiting_commands (
  place bigint generated always as identity primary key,
  message_id text not null,
  target_id text not null,
  type text not null,
  body jsonb not null,
  correlation_id text,
  causation_id text,
  traceparent text,
  deadline timestamptz not null
);
create index waiting_commands_target on waiting_commands (target_id);
create index waiting_commands_deadline on waiting_commands (deadline);

grant select, insert, update on projects, accounts, companies, exchange_rates, business_records, billing_events,
  deleted_billing_events, project_totals, budget_totals, release_jobs, release_job_events to sluice_release;
grant select, insert, update, delete on budgets, billing_event_items, source_changes, completions_due,
  revert_deletions, waiting_commands to sluice_release;
grant select, insert on cap_ledger, billing_event_history to sluice_release;

-- migrate:down
drop table waiting_commands, revert_deletions, release_job_events, release_jobs, billing_event_history, cap_ledger, budget_totals,
  project_totals, completions_due, source_changes, deleted_billing_events, billing_event_items, billing_events,
  business_records, exchange_rates, companies, accounts, budgets, projects;
