-- XML is most of what is stored, and shrinks to a fraction; PostgreSQL gives up on a PDF, which is compressed already.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table document_files alter column bytes set storage extended;

-- migrate:down
alter table document_files alter column bytes set storage external;
