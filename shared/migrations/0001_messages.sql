-- What a message leaves behind in a service's own schema: inbox, outbox, dead letters, positions.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

create table inbox (
  message_id text primary key,
  payload_hash bytea not null,
  received_at timestamptz not null default now()
);
create index inbox_received_at on inbox using brin (received_at);

-- Column names fit Debezium's outbox event router, so that change data capture can take over from the relay.
create table outbox (
  seq bigint generated always as identity primary key,
  id text not null,
  aggregatetype text not null,
  aggregateid bytea,
  type text not null,
  payload bytea,
  correlationid text,
  causationid text,
  traceparent text,
  headers jsonb,
  occurred_at timestamptz not null default now()
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

create table dead_letters (
  dead_letter_id text primary key,
  topic text not null,
  partition integer not null,
  "offset" bigint not null,
  reason text not null,
  recorded_at timestamptz not null default now()
);

create table consumed_positions (
  line text not null,
  topic text not null,
  partition integer not null,
  next_offset bigint not null,
  applied bigint not null,
  duplicates bigint not null,
  dead_letters bigint not null,
  ignored bigint not null,
  primary key (line, topic, partition)
);

-- migrate:down
drop table consumed_positions;
drop table dead_letters;
drop table outbox;
drop table inbox;
