"""Keeps the lock order where commands of one transaction are done one after the other.

A handler locks its projects, then its events. Where another follows it in the same transaction, its projects would come
after events: two such transactions could wait for each other.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from release.handlers.commands import Command
from release.store.locks import lock_projects_and_events
from shared.database.unit_of_work import UnitOfWork


async def lock_ahead(work: UnitOfWork, commands: Sequence[Command]) -> None:
    """Lock the projects, then the events, that these commands name; one command locks in order by itself.

    What a job's batches or filter find is locked when the job is accepted.
    """
    if len(commands) < 2:
        return
    billing_event_ids = {each for command in commands for each in _named(command.body)}
    if billing_event_ids:
        await lock_projects_and_events(work.connection, billing_event_ids)


def _named(body: Any) -> Iterable[str]:
    if hasattr(body, "billing_event_id"):
        return (body.billing_event_id,)
    select = getattr(body, "select", None)
    return () if select is None else select.billing_event_ids or ()
