"""What a command is to its handlers, whether it has just come or has waited for its billing event."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from shared.contracts.commands import Command as CommandBody
from shared.database.unit_of_work import Cause, UnitOfWork


class Command(Protocol):
    """A command: `id` and `type` of its message, its `body` as the contract's model, and the cause to name."""

    @property
    def id(self) -> str:
        """The id of the message."""

    @property
    def type(self) -> str:
        """The type of the message."""

    @property
    def body(self) -> Any:
        """The contract's model of this type."""

    @property
    def cause(self) -> Cause:
        """What to name as the cause of what it leads to."""


CommandHandler = Callable[[UnitOfWork, Sequence[Command]], Awaitable[None]]
"""Does commands of one kind, in their order, set-based, in the transaction that it is handed."""


def starter_of(body: CommandBody) -> dict[str, Any] | None:
    """Who asks, as facts name them; None where the command does not say."""
    return None if body.requested_by is None else body.requested_by.model_dump()
