-- Answers to changing HTTP calls, kept a day for whoever repeats one of them.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

create table idempotency_keys (
  user_id text not null,
  key text not null,
  request_hash bytea not null,
  claimed_at timestamptz not null default now(),
  status integer,
  media_type text,
  headers jsonb,
  body bytea,
  primary key (user_id, key)
);
create index idempotency_keys_claimed_at on idempotency_keys (claimed_at);

-- migrate:down
drop table idempotency_keys;
