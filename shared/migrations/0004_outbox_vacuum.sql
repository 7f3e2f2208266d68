-- A vacuum of the outbox must neither lock the relay out, to give the file's end back to the system for a moment, nor
-- take its time: until it has come by, the relay reads past the rows that were sent.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table outbox set (vacuum_truncate = off, autovacuum_vacuum_cost_delay = 0);

-- migrate:down
alter table outbox reset (vacuum_truncate, autovacuum_vacuum_cost_delay);
