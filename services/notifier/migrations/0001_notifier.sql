-- What people are told: notifications by cause, their alerts and mails, what users chose, dead letters by the hour.
-- Tables belong to the administrator; the service's role gets the verbs it needs.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

create table notifications (
  cause text primary key,
  kind text not null,
  notice jsonb not null,
  correlation_id text,
  causation_id text,
  traceparent text,
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now()
);
create index notifications_created on notifications (created_at);

create table alerts (
  alert_id text primary key,
  cause text not null references notifications on delete cascade,
  address text not null,
  place bigint not null unique, -- in the order of commits (whoever writes alerts holds a lock): a stream misses none
  read_at timestamptz,
  created_at timestamptz not null default now(),
  unique (cause, address)
);
create index alerts_listed on alerts (address, created_at, alert_id);
create index alerts_unread on alerts (address) where read_at is null;
create sequence alert_places owned by alerts.place;

create table deliveries (
  delivery_id text primary key,
  cause text not null references notifications on delete cascade,
  recipient text not null,
  status text not null default 'queued' check (status in ('queued', 'sent', 'failed')),
  attempts integer not null default 0,
  due_at timestamptz not null,
  leased_until timestamptz,
  error text,
  created_at timestamptz not null default now(),
  sent_at timestamptz
);
create unique index deliveries_once on deliveries (cause, lower(recipient));
create index deliveries_due on deliveries (due_at, delivery_id) where status = 'queued';
create index deliveries_listed on deliveries (created_at, delivery_id);
create index deliveries_by_status on deliveries (status, created_at, delivery_id);

create table dead_letter_digests (
  service text not null,
  topic text not null,
  hour timestamptz not null,
  letters bigint not null check (letters > 0),
  first_reason text not null,
  mail_due_at timestamptz not null,
  primary key (service, topic, hour)
);
create index dead_letter_digests_hour on dead_letter_digests (hour);

create table preferences (
  user_id text primary key,
  email text,
  channels jsonb not null,
  changed_at timestamptz not null default now()
);
create index preferences_email on preferences (email) where email is not null;

grant select, insert, update, delete on notifications, dead_letter_digests to sluice_notifier;
grant select, insert, update on alerts, deliveries, preferences to sluice_notifier;
grant usage on sequence alert_places to sluice_notifier;

-- migrate:down
drop table preferences, dead_letter_digests, deliveries, alerts, notifications;
