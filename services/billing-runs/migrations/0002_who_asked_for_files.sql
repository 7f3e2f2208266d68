-- Which execution has asked for a document's file: its answer is that execution's, wherever the document is by then.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table run_documents add column xml_asked_by text;
alter table run_documents add column pdf_asked_by text;

-- migrate:down
alter table run_documents drop column pdf_asked_by;
alter table run_documents drop column xml_asked_by;
