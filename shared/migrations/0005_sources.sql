-- A message is known by its source and its id together (contract.md section 1). Whoever uses an id first stands in
-- inbox, further sources with the same id in inbox_shared_ids; rows from before have no source and match any, until they
-- go with INBOX_DAYS. The primary key stays: it needs no index to be built, and the former version still relies on it.
-- Beside the outcomes of the records of a stream stands how many were read: their offsets do not say it.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table inbox add column source text;

create table inbox_shared_ids (
  message_id text not null,
  source text not null,
  payload_hash bytea not null,
  received_at timestamptz not null default now()
);
create unique index inbox_shared_ids_key on inbox_shared_ids (message_id, md5(source));
create index inbox_shared_ids_received_at on inbox_shared_ids using brin (received_at);

alter table consumed_positions add column records bigint not null default 0;
update consumed_positions set records = applied + duplicates + dead_letters + ignored;

-- Whenever a shared migration came to a schema that had its tables already, their role was granted every verb on all of
-- them: what is append-only is made so again.
do $$
declare
  service_role text := 'sluice_' || current_schema();
  name text;
begin
  foreach name in array array['cap_ledger', 'billing_event_history', 'document_lines', 'document_taxes',
      'company_settings', 'documents', 'rules', 'execution_log'] loop
    if to_regclass(current_schema() || '.' || name) is not null then
      execute format('revoke update, delete, truncate on %I from %I', name, service_role);
    end if;
  end loop;
  if to_regclass(current_schema() || '.documents') is not null then
    execute format('grant update (status, number, date, due_date) on documents to %I', service_role);
  end if;
end
$$;

-- migrate:down
alter table consumed_positions drop column records;
drop table inbox_shared_ids;
alter table inbox drop column source;
