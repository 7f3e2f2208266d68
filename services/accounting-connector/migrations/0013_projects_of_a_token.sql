-- The only projects whose billing events a process run may make documents of: those of the token that asked for it.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- Null: all of them.
alter table process_runs add column permitted_projects text[];

-- migrate:down
alter table process_runs drop column permitted_projects;
