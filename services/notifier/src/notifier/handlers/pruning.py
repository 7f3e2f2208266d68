"""What was told long ago is forgotten."""

from typing import Final

from notifier.store.digests import prune_digests
from notifier.store.notifications import prune_notifications
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork

KEPT_DAYS: Final = 365
_ROWS_MAX: Final = 1_000


async def prune(database: Database) -> bool:
    """A worker's step: forget the oldest of what is older than KEPT_DAYS; whether there may be more."""

    async def step(work: UnitOfWork) -> bool:
        await prune_digests(work.connection, days=KEPT_DAYS)
        return await prune_notifications(work.connection, days=KEPT_DAYS, rows_max=_ROWS_MAX) == _ROWS_MAX

    return await database.run(step)
