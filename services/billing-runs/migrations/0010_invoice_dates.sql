-- A run may leave its invoice date to the day of numbering, and who numbers may give another one (domain.md section 5).
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- A program from before does not know such a run's date: the run waits, pending, for the next one.
-- squawk-ignore ban-drop-not-null
alter table runs alter column invoice_date drop not null;
alter table executions add column invoice_date date;
alter table run_documents add column asked_invoice_date date;

-- migrate:down
alter table run_documents drop column asked_invoice_date;
alter table executions drop column invoice_date;
update runs set invoice_date = created_at::date where invoice_date is null;
alter table runs add constraint runs_invoice_date check (invoice_date is not null) not valid;
