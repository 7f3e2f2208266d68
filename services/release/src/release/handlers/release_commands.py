"""Commands to release one billing event: hundreds in one transaction, each with its own decision."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from release.domain.settings import Channel, OnCap, ReleaseRequest, ReleaseSettings, becomes_job
from release.handlers.commands import Command, CommandHandler, starter_of
from release.handlers.job_acceptance import START_JOB, JobAsk, accept_job, start_jobs_on_command
from release.handlers.job_work import ask_to_stop
from release.handlers.release_many import Ask, decide_and_write, decide_each
from release.handlers.release_state import lock_state
from release.handlers.revert import REVERT, revert_on_command
from release.handlers.waiting import RELEASE
from shared.contracts.commands import ReleaseBillingEvent, StopReleaseJob
from shared.database.unit_of_work import UnitOfWork
from shared.ids import derived_id

STOP_JOB: Final = "release.job.stop.v1"


async def release_on_command(
    work: UnitOfWork, commands: Sequence[Command], settings: ReleaseSettings
) -> None:
    """Decide `release.billing-event.release.v1` in the order of the commands, against the running caps.

    Locks the projects, then the events. An event of more than `release_batch_size` items becomes a job, whose id
    follows from the command's; an unknown one is refused as `not_found`, so those that may wait are kept back before.
    """
    state = await lock_state(work.connection, {command.body.billing_event_id for command in commands})
    asks: list[Ask] = []
    large: list[Command] = []
    for command in commands:
        stored = state.events.get(command.body.billing_event_id)
        if stored is not None and becomes_job(len(stored.event.items), settings):
            large.append(command)
        else:
            asks.append(_ask_of(command))
    await decide_and_write(
        work,
        state,
        lambda known: decide_each(known, asks, settings),
        outcomes_of=lambda result: (each.outcome for each in result),
        wishes_of=lambda result: result,
    )
    for command in large:
        ask = JobAsk.quick(
            derived_id("release-job", command.id),
            command.body.billing_event_id,
            starter=starter_of(command.body),
            cause=command.cause,
        )
        await accept_job(work, ask, settings)


async def stop_jobs_on_command(work: UnitOfWork, commands: Sequence[Command]) -> None:
    """Do `release.job.stop.v1`; a job that is over stays as it is. What names no job is bad input: starts come first.

    Locks the jobs, one after the other.
    """
    for command in commands:
        body: StopReleaseJob = command.body
        job = await ask_to_stop(work, body.job_id, starter_of(body))
        if job is None:
            message = f"{body.job_id} is not the id of a release job"
            work.reject(command, message, [{"field": "job_id", "message": message}])


def _ask_of(command: Command) -> Ask:
    body: ReleaseBillingEvent = command.body
    request = ReleaseRequest(Channel.QUICK, OnCap(body.on_cap))
    return Ask(body.billing_event_id, request, starter_of(body), command.cause)


def command_handlers(settings: ReleaseSettings) -> dict[str, CommandHandler]:
    """The handlers of the commands that release, in ones or many, stop that, and revert, by type."""
    return {
        RELEASE: partial(release_on_command, settings=settings),
        START_JOB: partial(start_jobs_on_command, settings=settings),
        STOP_JOB: stop_jobs_on_command,
        REVERT: revert_on_command,
    }
