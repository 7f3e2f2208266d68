"""Commands that name a billing event which is not known yet wait, bounded (contract.md section 1).

A release waits for one that is merely late, too: known for a moment, and still without what another topic brings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from release.domain.reasons import not_found
from release.handlers.commands import Command, starter_of
from release.handlers.publishing import publish_refused
from release.store import waiting_commands
from release.store.late_events import Patience
from shared.contracts.catalogue import CATALOGUE
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.set_aside import Picked

COMMANDS_MAX: Final = 500
RELEASE: Final = "release.billing-event.release.v1"


@dataclass(frozen=True, slots=True)
class WaitingCommand:
    """A command that has waited."""

    id: str
    type: str
    body: Any
    cause: Cause


async def keep_waiting(work: UnitOfWork, commands: Sequence[Command], patience: Patience) -> list[Command]:
    """Let those wait whose event is not there, or that would overtake one that waits; gives the others, in order.

    Commands that are not for one billing event never wait.
    """
    targets = {command.body.billing_event_id for command in commands if _has_target(command)}
    if not targets:
        return list(commands)
    waiting, late = await waiting_commands.targets_that_wait(work.connection, targets, patience)
    if not waiting and not late:
        return list(commands)
    kept = []
    for command in commands:
        if not _has_target(command):
            continue
        target_id = command.body.billing_event_id
        if target_id in waiting or (command.type == RELEASE and target_id in late):
            waiting.add(target_id)
            kept.append(command)
    rows = [
        (
            command.id,
            command.body.billing_event_id,
            command.type,
            command.body.model_dump(mode="json"),
            command.cause.correlation_id,
            command.cause.causation_id,
            command.cause.traceparent,
        )
        for command in kept
    ]
    await waiting_commands.keep_commands(work.connection, rows, wait_seconds=patience.wait_seconds)
    kept_ids = {command.id for command in kept}
    return [command for command in commands if command.id not in kept_ids]


async def take_up(
    work: UnitOfWork, patience: Patience, *, commands_max: int = COMMANDS_MAX, picked: Picked | None = None
) -> tuple[list[Command], int]:
    """The commands to do now, in order, since their events are there or, known, are waited for no longer; and how many
    were taken in all: the others were refused with `not_found`, since their time is over.
    """
    picked = picked or Picked([])
    rows = await waiting_commands.take_commands(
        work.connection, patience, release_type=RELEASE, commands_max=commands_max, only=picked.only
    )
    picked.ids += [row["target_id"] for row in rows]
    ready: list[Command] = []
    for row in rows:
        body: Any = CATALOGUE[row["type"]].body_model.model_validate(row["body"])
        cause = Cause(
            causation_id=row["causation_id"],
            correlation_id=row["correlation_id"],
            traceparent=row["traceparent"],
        )
        if row["is_known"]:
            ready.append(WaitingCommand(row["message_id"], row["type"], body, cause))
        else:
            target_id = row["target_id"]
            publish_refused(work, target_id, None, [not_found(target_id)], cause, starter=starter_of(body))
    return ready, len(rows)


def _has_target(command: Command) -> bool:
    return hasattr(command.body, "billing_event_id")
