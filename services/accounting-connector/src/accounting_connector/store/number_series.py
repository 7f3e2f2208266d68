"""Series of document numbers, gapless per company, kind and year (domain.md section 4)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.numbering import Series
from accounting_connector.store.connection import Connection, Reader

SeriesKey = tuple[str, DocumentKind, int]
"""Company, kind and year."""

_OPEN: Final = """
insert into number_series (company_id, kind, year)
select * from unnest($1::text[], $2::text[], $3::int[]) as wanted (company_id, kind, year)
order by 1, 2, 3
on conflict do nothing
"""
_LOCK: Final = """
select series.* from number_series as series
join unnest($1::text[], $2::text[], $3::int[]) as wanted (company_id, kind, year) using (company_id, kind, year)
order by series.company_id, series.kind, series.year
for no key update of series
"""
_LOAD: Final = """
select series.* from number_series as series
join unnest($1::text[], $2::text[], $3::int[]) as wanted (company_id, kind, year) using (company_id, kind, year)
"""
_SAVE: Final = """
update number_series as series set last_number = used.last_number, last_date = used.last_date
from unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::date[])
  as used (company_id, kind, year, last_number, last_date)
where series.company_id = used.company_id and series.kind = used.kind and series.year = used.year
"""


async def lock_series(connection: Connection, keys: Iterable[SeriesKey]) -> dict[SeriesKey, Series]:
    """Lock these series, opened where they are new, until the transaction ends. They are the last locks it takes."""
    wanted = sorted(set(keys))
    columns = _columns(wanted)
    rows = await connection.fetch(_LOCK, *columns)
    if len(rows) < len(wanted):
        await connection.execute(_OPEN, *columns)
        rows = await connection.fetch(_LOCK, *columns)
    return _by_key(rows)


async def load_series(connection: Reader, keys: Iterable[SeriesKey]) -> dict[SeriesKey, Series]:
    """These series as they stand, without locking; one that is not opened yet with nothing numbered."""
    wanted = list(keys)
    found = _by_key(await connection.fetch(_LOAD, *_columns(wanted)))
    return {key: found.get(key) or Series(*key) for key in wanted}


async def save_series(connection: Connection, series: Sequence[Series]) -> None:
    """Keep how far locked series have come."""
    await connection.execute(
        _SAVE,
        [used.company_id for used in series],
        [used.kind.value for used in series],
        [used.year for used in series],
        [used.last_number for used in series],
        [used.last_date for used in series],
    )


def _columns(keys: Sequence[SeriesKey]) -> tuple[list[str], list[str], list[int]]:
    return (
        [company_id for company_id, _, _ in keys],
        [kind.value for _, kind, _ in keys],
        [year for _, _, year in keys],
    )


def _by_key(rows: Iterable[Mapping[str, Any]]) -> dict[SeriesKey, Series]:
    found = [
        Series(
            row["company_id"], DocumentKind(row["kind"]), row["year"], row["last_number"], row["last_date"]
        )
        for row in rows
    ]
    return {(series.company_id, series.kind, series.year): series for series in found}
