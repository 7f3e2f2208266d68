-- Messages stand in the outbox for a moment: compressing those of more than 2 kB would cost more than writing them.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

alter table outbox set (toast_tuple_target = 8160);

-- migrate:down
alter table outbox reset (toast_tuple_target);
