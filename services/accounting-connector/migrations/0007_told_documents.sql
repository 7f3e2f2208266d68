-- Documents that were told as written back to billing events, and that are not in `documents`: after a restore to an
-- earlier moment, when their numbers may be given once more.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

create table told_documents (
  document_id text not null,
  billing_event_id text not null,
  number text not null,
  date date not null,
  told_at timestamptz not null default now(),
  primary key (document_id, billing_event_id)
);
grant select, insert on told_documents to sluice_accounting_connector;

-- migrate:down
drop table told_documents;
