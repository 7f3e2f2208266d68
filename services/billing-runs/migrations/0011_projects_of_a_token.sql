-- The only projects whose billing events a step may take in: those of the token that asked for it.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- Null: all of them.
alter table executions add column permitted_projects text[];

-- migrate:down
alter table executions drop column permitted_projects;
