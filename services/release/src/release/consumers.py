"""The streams that the release service reads: what PSA sends, and commands."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Final

from release import views
from release.domain.sources import CompanySource
from release.handlers import write_back
from release.handlers.arrival import take_billing_events
from release.handlers.commands import Command, CommandHandler
from release.handlers.lock_order import lock_ahead
from release.handlers.sources import take_sources
from release.handlers.waiting import keep_waiting, take_up
from release.store import waiting_commands
from release.store.late_events import Patience
from shared.contracts import topics
from shared.contracts.catalogue import message_types_of
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.batches import Line
from shared.messaging.message import Message, decode
from shared.set_aside import IsolatedStep, Picked

WRITE_BACK_PACE_SECONDS: Final = 0.05
"""Releases go before: what comes back from accounting is taken in larger batches."""

PSA_TOPICS: Final = (
    topics.PSA_PROJECTS,
    topics.PSA_ACCOUNTS,
    topics.PSA_COMPANIES,
    topics.PSA_EXCHANGE_RATES,
    topics.PSA_BUSINESS_RECORDS,
    topics.PSA_BILLING_EVENTS,
)


def psa_line(company_source: CompanySource) -> Line:
    """All that PSA sends, in one line: what a batch says of sources is known to its billing events."""

    async def handle(work: UnitOfWork, messages: Sequence[Message]) -> None:
        await take_sources(work, messages)
        await take_billing_events(work, messages, company_source)

    types = frozenset(entry.type for topic in PSA_TOPICS for entry in message_types_of(topic))
    return Line("psa", PSA_TOPICS, types, handle)


def accounting_line() -> Line:
    """What the accounting connector tells of billing events."""
    return Line(
        "accounting",
        (topics.ACCOUNTING_EVENTS,),
        write_back.HANDLED,
        write_back.take_accounting_facts,
        decode=partial(decode, model_of=views.model_of),
        pace_seconds=WRITE_BACK_PACE_SECONDS,
    )


class Commands:
    """The commands to the release service, each type with its handler."""

    def __init__(self, handlers: Mapping[str, CommandHandler], patience: Patience) -> None:
        self._handlers = handlers
        self._patience = patience

    def line(self) -> Line:
        """The line of the commands."""
        return Line("commands", (topics.RELEASE_COMMANDS,), frozenset(self._handlers), self._handle)

    async def _handle(self, work: UnitOfWork, messages: Sequence[Message]) -> None:
        await self._do(work, await keep_waiting(work, messages, self._patience))

    async def take_up_waiting(self, database: Database) -> bool:
        """`waiting_step`, once."""
        return await self.waiting_step(database)()

    def waiting_step(self, database: Database) -> IsolatedStep:
        """A worker's step: do commands whose events have come, refuse those whose time is over.

        The commands of an event that cannot be done are set aside together, since they must keep their order.
        """

        async def do(work: UnitOfWork, picked: Picked) -> bool:
            ready, taken = await take_up(work, self._patience, picked=picked)
            await self._do(work, ready)
            return taken > 0

        return IsolatedStep(database, do, queue=waiting_commands.QUEUE, facts="release")

    async def _do(self, work: UnitOfWork, commands: Sequence[Command]) -> None:
        # In their order; neighbours of the same handler together, so that they cost a handful of statements.
        neighbours = [
            (handler, list(group))
            for handler, group in groupby(commands, key=lambda command: self._handlers[command.type])
        ]
        if len(neighbours) > 1:
            await lock_ahead(work, commands)
        for handler, group in neighbours:
            await handler(work, group)
