-- Release takes a company's own auto-pass field after release: what was set before is told now.
-- migrate:up
set lock_timeout = '5s';
set statement_timeout = '60s';

insert into outbox (id, aggregatetype, aggregateid, type, payload)
select gen_random_uuid()::text, 'accounting.events', convert_to(company_id, 'UTF8'),
  'accounting.company.settings-changed.v1',
  convert_to(jsonb_build_object(
    'company_id', company_id, 'version', version,
    'auto_pass_field', regexp_replace(settings ->> 'auto_pass_field', '^fields[.]', ''))::text, 'UTF8')
from (
  select distinct on (company_id) company_id, version, settings from company_settings
  order by company_id, version desc
) as latest
where settings ->> 'auto_pass_field' is not null;

-- migrate:down
