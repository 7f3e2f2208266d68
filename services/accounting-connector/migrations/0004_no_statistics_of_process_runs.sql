-- Entries of a process run come by the ten thousand before statistics know of it, and an unknown one is taken for a
-- single entry: a join then reads all of them for each. Without statistics of the column, a process run is taken for a
-- small part of the table, whatever its size. Setting the type, which stays what it is and rewrites nothing, is what
-- forgets the statistics there are.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table process_run_events
  -- squawk-ignore changing-column-type
  alter column process_run_id type text, alter column process_run_id set statistics 0;

-- migrate:down
alter table process_run_events alter column process_run_id set statistics -1;
