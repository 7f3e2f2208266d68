"""How many rows services have written, as the database counts them itself."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import asyncpg

from sluice.benchmarks.limit import Writes

_SETTLED_SECONDS: Final = 11.0
"""A session that has nothing more to do tells its last counts when it ends, or after ten seconds."""
_SETTLING_SECONDS_MAX: Final = 40.0

_WRITES: Final = """
select schemaname || '.' || relname as name, n_tup_ins as inserted, n_tup_upd as updated, n_tup_del as deleted
from pg_stat_user_tables
where schemaname = any($1::text[]) and n_tup_ins > 0 and relname <> 'schema_migrations'
"""


async def count_writes(administrator_url: str, schemas: Sequence[str]) -> dict[str, Writes]:
    """The rows written so far, by `schema.table`, as soon as the counts stand still."""
    connection = await asyncpg.connect(administrator_url)
    try:
        counted: dict[str, Writes] = {}
        started = changed = time.monotonic()
        while True:
            rows = await connection.fetch(_WRITES, list(schemas))
            now = {row["name"]: Writes(row["inserted"], row["updated"], row["deleted"]) for row in rows}
            if now != counted:
                counted, changed = now, time.monotonic()
            if time.monotonic() > min(changed + _SETTLED_SECONDS, started + _SETTLING_SECONDS_MAX):
                return counted
            await asyncio.sleep(0.2)
    finally:
        await connection.close()
