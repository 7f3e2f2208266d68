"""The invariants of domain.md section 6 as SQL over the services' schemas: each finds rows that must not be there.

They look across schemas, which no service may, and share no code with the services' own reconciliation.
"""

from collections.abc import Mapping
from typing import Final

_RELEASED: Final = "('released', 'invoiced', 'reverting', 'closed')"

_MONEY: Final[Mapping[str, str]] = {
    "released totals are the ledger's sums": """
select project_id, currency, total.released, ledger.amount from release.project_totals as total
full join (select project_id, currency, sum(amount) as amount from release.cap_ledger
  where budget_id is null group by 1, 2) as ledger using (project_id, currency)
where coalesce(total.released, 0) <> coalesce(ledger.amount, 0)
""",
    "the ledger holds each released event once, with the sum of its items": f"""
select billing_event_id, event.stage, items.amount as items, ledger.amount as ledger, ledger.acts
from release.billing_events as event
left join (select billing_event_id, sum(amount) as amount from release.billing_event_items group by 1) as items
  using (billing_event_id)
full join (select billing_event_id, sum(amount) as amount, string_agg(act, ' ' order by entry_id) as acts
  from release.cap_ledger where budget_id is null group by 1) as ledger using (billing_event_id)
where case when event.stage in {_RELEASED}
    then ledger.acts is distinct from 'release' or ledger.amount is distinct from items.amount
  when event.stage = 'reverted' then ledger.acts is distinct from 'release revert' or ledger.amount <> 0
  else ledger.acts is not null end
""",
    "no enforced cap is passed": f"""
select project_id, project.bookings, sum(item.amount) as released
from release.projects as project
join release.billing_events as event using (project_id)
join release.billing_event_items as item using (billing_event_id)
where project.apply_billing_cap and project.auto_cap_billing and event.stage in {_RELEASED}
group by project_id, project.bookings having sum(item.amount) > coalesce(project.bookings, 0)
""",
    "no decision passed its cap": """
select project_id, billing_event_id, released_after, decision ->> 'bookings' as bookings from release.cap_ledger
where budget_id is null and amount > 0 and released_after > (decision ->> 'bookings')::numeric
""",
    "the ledger counts on without a leap": """
select project_id, entry_id, released_after, counted from (
  select project_id, entry_id, released_after,
    sum(amount) over (partition by project_id, currency order by entry_id) as counted
  from release.cap_ledger where budget_id is null) as entry
where released_after <> counted
""",
    "a split loses nothing": """
select part.root_id, count(*) from release.billing_events as part
left join release.billing_events as origin on origin.billing_event_id = part.origin_id
where part.made_by_cap and origin.billing_event_id is null group by part.root_id
""",
}

_DOCUMENTS: Final[Mapping[str, str]] = {
    "an event has at most one live document": """
with live as (
  select event_id as billing_event_id, document_id from accounting_connector.documents as document
  cross join lateral unnest(billing_event_ids) as event_id
  where status <> 'cancelled' and mirrors_document_id is null and not exists (
    select from accounting_connector.documents as mirror where mirror.mirrors_document_id = document.document_id))
select billing_event_id, array_agg(live.document_id) as documents, min(kept.document_id) as kept
from live full join accounting_connector.live_documents as kept using (billing_event_id)
group by billing_event_id
having count(live.document_id) <> 1 or min(live.document_id) is distinct from min(kept.document_id)
""",
    "lines are the event's items, to the cent": """
with lines as (
  select document.document_id, line.billing_event_id, document.currency,
    sum(line.amount) * case document.kind when 'sales_credit_note' then -1 else 1 end
      * case when document.mirrors_document_id is null then 1 else -1 end as amount
  from accounting_connector.documents as document join accounting_connector.document_lines as line using (document_id)
  where document.status <> 'cancelled' group by document.document_id, line.billing_event_id)
select lines.*, items.amount as items from lines
left join (select billing_event_id, sum(amount) as amount from release.billing_event_items group by 1) as items
  using (billing_event_id)
where lines.amount is distinct from items.amount
""",
    "a document's totals are its lines and its taxes": """
select document_id, total_net, total_tax, total_gross, lines.amount as lines, taxes.taxable, taxes.tax
from accounting_connector.documents
left join (select document_id, sum(amount) as amount from accounting_connector.document_lines group by 1) as lines
  using (document_id)
left join (select document_id, sum(taxable) as taxable, sum(tax) as tax from accounting_connector.document_taxes
  group by 1) as taxes using (document_id)
where total_net is distinct from lines.amount or total_net is distinct from taxes.taxable
  or total_tax is distinct from taxes.tax or total_gross is distinct from total_net + total_tax
""",
    "numbers have no gap and none is twice, each in the year of its date": """
with numbered as (
  select company_id, kind, split_part(number, '-', 2) as year, split_part(number, '-', 3)::bigint as place, date
  from accounting_connector.documents where status = 'validated'),
counted as (
  select company_id, kind, year, place, row_number() over series as expected, date
  from numbered window series as (partition by company_id, kind, year order by place))
select * from counted where place <> expected or extract(year from date)::text <> year
""",
    "a series knows its last number": """
select series.*, numbered.last from accounting_connector.number_series as series
left join (select company_id, kind, split_part(number, '-', 2)::integer as year,
  max(split_part(number, '-', 3)::bigint) as last
  from accounting_connector.documents where status = 'validated' group by 1, 2, 3) as numbered
  using (company_id, kind, year)
where series.last_number <> coalesce(numbered.last, 0)
""",
    "what is invoiced has its document, and the other way round": """
with written as (
  select billing_event_id, document_id, invoice_number, invoice_date from release.billing_events
  where stage = 'invoiced'),
made as (
  select event_id as billing_event_id, document_id, number, date from accounting_connector.documents as document
  cross join lateral unnest(billing_event_ids) as event_id
  where status = 'validated' and mirrors_document_id is null and not exists (
    select from accounting_connector.documents as mirror where mirror.mirrors_document_id = document.document_id))
select billing_event_id, written.invoice_number, made.number, written.document_id, made.document_id as made_id
from written full join made using (billing_event_id)
where written.document_id is distinct from made.document_id
  or written.invoice_number is distinct from made.number or written.invoice_date is distinct from made.date
""",
    "what is taken back was validated, and no more than it": """
select mirror.document_id from accounting_connector.documents as mirror
left join accounting_connector.documents as original on original.document_id = mirror.mirrors_document_id
where mirror.mirrors_document_id is not null and (original.status is distinct from 'validated'
  or original.kind = mirror.kind or original.total_gross < mirror.total_gross)
""",
}

_RUNS: Final[Mapping[str, str]] = {
    "a job's figures are its log's": """
select job_id, job.status, job.total, job.released, job.failed, log.events, log.ok, log.bad
from release.release_jobs as job join (
  select job_id, count(*) as events, count(*) filter (where result = 'ok') as ok,
    count(*) filter (where result = 'error') as bad from release.release_job_events group by 1) as log using (job_id)
where (job.total, job.released, job.failed) <> (log.events, log.ok, log.bad) or log.ok + log.bad <> log.events
""",
    "a process run's figures are its log's": """
select process_run_id, run.not_passed, run.already_done, log.events, log.bad, log.pending
from accounting_connector.process_runs as run left join (
  select process_run_id, count(*) as events, count(*) filter (where result = 'error') as bad,
    count(*) filter (where result = 'pending') as pending
  from accounting_connector.process_run_events group by 1) as log using (process_run_id)
where coalesce(log.pending, 0) > 0 or run.not_passed <> coalesce(log.bad, 0)
""",
    "what a billing run claimed has one fate each, and its documents are the connector's": """
select event.run_id, event.billing_event_id, event.state, event.document_id, document.status
from billing_runs.run_events as event
left join accounting_connector.documents as document using (document_id)
where event.state in ('selected', 'asked')
  or (event.state = 'validated' and document.status is distinct from 'validated')
  or (event.state = 'draft' and document.status is distinct from 'draft')
""",
    "a billing run sees its documents as they are": """
select kept.document_id, kept.status, document.status as is, kept.number, document.number as is_number
from billing_runs.run_documents as kept left join accounting_connector.documents as document using (document_id)
where kept.status is distinct from document.status or kept.total_net is distinct from document.total_net
  or (document.status = 'validated' and kept.number is distinct from document.number)
""",
    "a claim ends with its run, or with the quarantine run that its event was moved to": """
select claim.*, holder.run_id from accounting_connector.claims as claim
join billing_runs.runs as run on run.run_id = claim.billing_run_id
left join billing_runs.run_events as moved
  on moved.run_id = run.quarantine_run_id and moved.billing_event_id = claim.billing_event_id
join billing_runs.runs as holder on holder.run_id = coalesce(moved.run_id, run.run_id)
where holder.status in ('validated', 'cancelled')
""",
    "the connector knows every event as release does": f"""
select event.billing_event_id, event.stage, event.summary_amount, known.stage as known_stage,
  known.summary_amount as known_amount
from release.billing_events as event left join accounting_connector.billing_events as known using (billing_event_id)
where known.billing_event_id is null and event.stage <> 'deleted'
  or known.summary_amount <> event.summary_amount
  or (event.stage in {_RELEASED}) <> (known.stage in {_RELEASED})
""",
    "the billing runs know every event as release does": f"""
select event.billing_event_id, event.stage, event.summary_amount, known.stage as known_stage,
  known.summary_amount as known_amount
from release.billing_events as event left join billing_runs.billing_events as known using (billing_event_id)
where known.billing_event_id is null and event.stage <> 'deleted'
  or known.summary_amount <> event.summary_amount
  or (event.stage in {_RELEASED}) <> (known.stage in {_RELEASED})
""",
}

_TOLD: Final[Mapping[str, str]] = {
    "what has ended is told once, not once more under another cause": """
select notice ->> 'path' as path, kind, count(*) from notifier.notifications
where kind in ('release_job_failed', 'release_job_succeeded', 'release_stage_failed', 'release_stage_succeeded',
  'process_run_ended', 'passed_at_once') group by 1, 2 having count(*) > 1
""",
    "every job that has ended is told to its starter": """
select job_id, status from release.release_jobs as job
where starter is not null and not dry_run and status not in ('queued', 'running') and (
  select count(*) from notifier.alerts as alert where alert.cause = 'release-job/' || job.job_id || '/ended'
    and alert.address = 'user:' || (job.starter ->> 'user_id')) <> 1
""",
    "every process run that has ended is told to its starter": """
select process_run_id, status from accounting_connector.process_runs as run
where starter is not null and ended_at is not null and (
  select count(*) from notifier.alerts as alert
  where alert.cause = 'process-run/' || run.process_run_id || '/ended'
    and alert.address = 'user:' || (run.starter ->> 'user_id')) <> 1
""",
}

QUERIES: Final[Mapping[str, str]] = {**_MONEY, **_DOCUMENTS, **_RUNS, **_TOLD}
"""Every invariant by what it says; a row that its query finds is a difference."""

OUTBOX_SIZE: Final = "select count(*) from {schema}.outbox"
INBOX_AGAINST_COUNTS: Final = """
select kept.messages, counted.applied
from (select (select count(*) from {schema}.inbox) + (select count(*) from {schema}.inbox_shared_ids) as messages)
    as kept,
  (select coalesce(sum(applied), 0) as applied from {schema}.consumed_positions) as counted
where kept.messages <> counted.applied
"""
POSITIONS: Final = "select * from {schema}.consumed_positions"
DEAD_LETTERS: Final = 'select topic, partition, "offset" from {schema}.dead_letters'
