-- What tax is decided by beside the rules (documents.md section 2.3), the codes of exemptions, and what to look at in a document.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table accounts add column private boolean not null default false;
alter table companies add column tax_registration text;
alter table document_taxes add column reason_code text;
alter table documents add column warnings jsonb not null default '[]';
grant update (warnings) on documents to sluice_accounting_connector;

-- migrate:down
alter table documents drop column warnings;
alter table document_taxes drop column reason_code;
alter table companies drop column tax_registration;
alter table accounts drop column private;
