-- Rows of a run come and go by the ten thousand before statistics know of it, and an unknown run is taken for one of a
-- single row: a join then reads the run from end to end for each of its events. Without statistics of the column, a run
-- is taken for a small part of the table, whatever its size. Setting the type, which stays what it is and rewrites
-- nothing, is what forgets the statistics there are.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- squawk-ignore changing-column-type
alter table run_events alter column run_id type text, alter column run_id set statistics 0;
-- squawk-ignore changing-column-type
alter table run_documents alter column run_id type text, alter column run_id set statistics 0;

-- migrate:down
alter table run_events alter column run_id set statistics -1;
alter table run_documents alter column run_id set statistics -1;
