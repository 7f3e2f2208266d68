"""How far runs are, as a mark that changes whenever something that a watcher sees does."""

from collections.abc import Iterable
from typing import Final

from billing_runs.store.connection import Reader

_MARKS: Final = """
select run.run_id, md5(row(run.*, latest.*)::text) as mark
from runs as run
left join lateral (
  select * from executions where executions.run_id = run.run_id order by number desc limit 1
) as latest on true
where run.run_id = any($1::text[])
"""


async def progress_marks(connection: Reader, run_ids: Iterable[str]) -> dict[str, str]:
    """The mark of each of these runs, by run id: 32 hexadecimal digits; unknown runs are left out."""
    rows = await connection.fetch(_MARKS, list(set(run_ids)))
    return {row["run_id"]: row["mark"] for row in rows}
