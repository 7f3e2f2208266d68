"""When each check was last begun, and the differences that operators have been told of."""

from collections.abc import Iterable, Sequence
from typing import Final

from release.store.connection import Connection

# A new check is due only when its time has passed once: a service that starts has other things to do.
_KNOW_CHECKS: Final = """
insert into reconciliation_checks (check_name) select unnest($1::text[]) on conflict do nothing
"""
_TAKE_DUE: Final = """
with due as (
  select check_name from reconciliation_checks
  where check_name = any($1::text[]) and checked_at <= clock_timestamp() - make_interval(secs => $2)
  order by checked_at, check_name limit 1 for update skip locked
)
update reconciliation_checks as known set checked_at = clock_timestamp()
from due where known.check_name = due.check_name returning known.check_name
"""
_NOTE: Final = """
insert into known_differences (check_name, subject) select $1, unnest($2::text[])
on conflict do nothing returning subject
"""
_FORGET_OTHERS: Final = "delete from known_differences where check_name = $1 and subject <> all($2::text[])"


async def take_due_check(connection: Connection, names: Sequence[str], *, every_seconds: float) -> str | None:
    """The check that was begun longest ago, if that is so many seconds; from now on it is begun.

    Of several replicas one gets it.
    """
    await connection.execute(_KNOW_CHECKS, names)
    name: str | None = await connection.fetchval(_TAKE_DUE, names, every_seconds)
    return name


async def note_differences(
    connection: Connection, check_name: str, subjects: Iterable[str], *, is_complete: bool
) -> set[str]:
    """Keep what a check found; gives what was not known. Where the list is complete, the others are gone."""
    found = sorted(set(subjects))
    if is_complete:
        await connection.execute(_FORGET_OTHERS, check_name, found)
    rows = await connection.fetch(_NOTE, check_name, found) if found else ()
    return {row["subject"] for row in rows}
