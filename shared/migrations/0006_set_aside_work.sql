-- Work items of background steps that could not be done while others could: set aside with the reason, tried again.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

create table set_aside_work (
  queue text not null,
  item_id text not null,
  reason text not null,
  tries integer not null default 1 check (tries > 0),
  since timestamptz not null default now(),
  try_at timestamptz not null,
  primary key (queue, item_id)
);

-- migrate:down
drop table set_aside_work;
