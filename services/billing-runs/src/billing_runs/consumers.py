"""The streams that the billing-runs service reads (contract.md section 1)."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from billing_runs import views
from billing_runs.handlers import accounting_facts, commands, job_answers, projections
from billing_runs.handlers.commands import Commands
from shared.contracts import topics
from shared.database.unit_of_work import UnitOfWork
from shared.messaging.batches import Line
from shared.messaging.message import Message, decode

FACTS_PACE_SECONDS: Final = 0.05
"""Little beside a step of a run, much beside the time that a batch takes."""

_decode: Final = partial(decode, model_of=views.model_of)


def lines(command_handlers: Commands) -> list[Line]:
    """One line per topic: commands and what is known of events must not wait for each other."""
    return [
        Line(
            "accounts",
            (topics.PSA_ACCOUNTS,),
            frozenset({"psa.account.upserted.v1"}),
            projections.keep_accounts,
        ),
        Line(
            "billing-events",
            (topics.RELEASE_EVENTS,),
            projections.EVENT_TYPES | job_answers.JOB_TYPES,
            _take_release_facts,
            decode=_decode,
            pace_seconds=FACTS_PACE_SECONDS,
        ),
        Line(
            "accounting",
            (topics.ACCOUNTING_EVENTS,),
            accounting_facts.HANDLED,
            accounting_facts.take_accounting_facts,
            decode=_decode,
            pace_seconds=FACTS_PACE_SECONDS,
        ),
        Line("commands", (topics.BILLING_RUNS_COMMANDS,), commands.HANDLED, command_handlers.take),
    ]


async def _take_release_facts(work: UnitOfWork, messages: Sequence[Message]) -> None:
    """Runs before events: a job's facts are counted under the lock of its run."""
    await job_answers.take_job_facts(work, messages)
    await projections.keep_events(work, messages)
