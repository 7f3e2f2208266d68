-- The custom field that a company names in place of the auto-pass flag, as the accounting connector tells it.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

create table auto_pass_fields (
  company_id text primary key,
  version bigint not null,
  -- Null: the company names none any more.
  field text
);
grant select, insert, update on auto_pass_fields to sluice_release;

-- migrate:down
drop table auto_pass_fields;
