-- What reverts of credits will take from the caps.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

-- The room that a credit under revert takes back once it is withdrawn: kept free until then, since the books may have
-- mirrored it and the revert can no longer be refused. One row for its project (`budget_id` null) and for each budget.
create table cap_reservations (
  billing_event_id text collate "C" not null,
  project_id text not null,
  budget_id text,
  currency text not null,
  amount numeric not null check (amount > 0),
  unique nulls not distinct (billing_event_id, budget_id)
);
create index cap_reservations_project on cap_reservations (project_id);
insert into cap_reservations (billing_event_id, project_id, budget_id, currency, amount)
select billing_event_id, project_id, null, currency, -summary_amount
from billing_events where stage = 'reverting' and summary_amount < 0
union all
select billing_event_id, project_id, budget_id, currency, -sum(amount)
from billing_events join billing_event_items using (billing_event_id)
where stage = 'reverting' and budget_id is not null
group by billing_event_id, project_id, budget_id, currency having sum(amount) < 0;

grant select, insert, delete on cap_reservations to sluice_release;

-- migrate:down
drop table cap_reservations;
