"""The streams that the accounting connector reads."""

from collections.abc import Sequence
from typing import Final

from accounting_connector.handlers import commands, reference, release_facts
from accounting_connector.handlers.deployment import Deployment
from shared.contracts import topics
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.batches import Line
from shared.messaging.message import Message

COMMANDS_MAX: Final = 20
"""Commands of a batch; each may name 1,000 documents."""


def lines(deployment: Deployment) -> list[Line]:
    """What is read, and by which use case each batch is taken."""

    async def take_release_facts(work: UnitOfWork, messages: Sequence[Message]) -> None:
        await release_facts.handle_release_facts(work, messages, deployment)

    async def take_commands(work: UnitOfWork, messages: Sequence[Message]) -> None:
        await commands.handle_commands(work, messages, deployment)

    return [
        Line(
            "reference",
            (topics.PSA_ACCOUNTS, topics.PSA_COMPANIES),
            reference.HANDLED,
            reference.handle_reference,
        ),
        Line("release", (topics.RELEASE_EVENTS,), release_facts.HANDLED, take_release_facts),
        Line(
            "commands",
            (topics.ACCOUNTING_COMMANDS,),
            commands.HANDLED,
            take_commands,
            records_max=COMMANDS_MAX,
        ),
    ]
