-- What began a queued action on a document, which is sent later, when no step of its run is under way.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table run_documents add column asked_cause jsonb;

-- migrate:down
alter table run_documents drop column asked_cause;
