-- Corrections are looked up by what they correct, documents of one kind may name each other, and of a document that
-- holds several events each can be taken back by itself (documents.md section 3).
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '600s';

alter table documents add column supplements_document_id text collate "C";
create index documents_corrects on documents (corrects_document_id) where corrects_document_id is not null;
create index documents_mirrors on documents (mirrors_document_id) where mirrors_document_id is not null;
drop index documents_mirrored;

-- migrate:down
drop index documents_mirrors;
drop index documents_corrects;
alter table documents drop column supplements_document_id;
create unique index documents_mirrored on documents (mirrors_document_id) where mirrors_document_id is not null;
