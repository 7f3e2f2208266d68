"""The custom fields that companies name in place of the auto-pass flag (domain.md section 4, "Ways in")."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from release.store.connection import Connection, Reader
from shared.contracts.accounting_facts import CompanySettingsChanged

_UPSERT: Final = """
insert into auto_pass_fields as known (company_id, version, field)
select * from unnest($1::text[], $2::bigint[], $3::text[]) as told (company_id) order by told.company_id collate "C"
on conflict (company_id) do update set version = excluded.version, field = excluded.field
  where known.version < excluded.version
"""
_LOAD: Final = (
    "select company_id, field from auto_pass_fields where company_id = any($1::text[]) and field is not null"
)


async def upsert_fields(connection: Connection, told: Sequence[CompanySettingsChanged]) -> None:
    """Keep what companies name, newest version. Locks their rows in order."""
    newest = {each.company_id: each for each in sorted(told, key=lambda each: each.version)}
    await connection.execute(
        _UPSERT,
        list(newest),
        [each.version for each in newest.values()],
        [each.auto_pass_field for each in newest.values()],
    )


async def load_fields(connection: Reader, company_ids: Iterable[str | None]) -> Mapping[str | None, str]:
    """The fields of those of these companies that name one."""
    ids = sorted({each for each in company_ids if each is not None})
    rows = await connection.fetch(_LOAD, ids) if ids else []
    return {row["company_id"]: row["field"] for row in rows}
