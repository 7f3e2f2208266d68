-- What a document leaves out by its company's item criteria: how many items, and what they come to.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table run_documents add column left_out_items integer not null default 0;
alter table run_documents add column left_out_amount numeric not null default 0;

-- migrate:down
alter table run_documents drop column left_out_amount;
alter table run_documents drop column left_out_items;
