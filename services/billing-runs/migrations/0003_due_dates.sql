-- What validating changes of a document stands in columns, so that its body is never written again.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table run_documents add column due_date date;

-- migrate:down
alter table run_documents drop column due_date;
