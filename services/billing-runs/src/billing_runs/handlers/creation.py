"""Creating a billing run (domain.md section 5); asked again in the same words, it is the same run."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from billing_runs import facts
from billing_runs.domain.approval import process_type_problems
from billing_runs.domain.lifecycle import CREATED
from billing_runs.domain.refusals import Problem
from billing_runs.domain.scope import RunKind, generated_description
from billing_runs.domain.settings import (
    Grouping,
    OnRejected,
    OnSuspect,
    ProcessType,
    RunSettings,
    Threshold,
    settings_problems,
)
from billing_runs.handlers.session import now
from billing_runs.store import runs
from billing_runs.store.runs import StoredRun
from billing_runs.store.scopes import scope_of
from shared.contracts.command_fields import BillingRunSettings
from shared.database.unit_of_work import Cause, UnitOfWork


class RunExistsError(ValueError):
    """There is a run with this id that was asked for in other words."""


class SettingsError(ValueError):
    """Settings that do not fit each other; `problems` says which, by field."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.field} {problem.message}" for problem in problems))
        self.problems = tuple(problems)


async def create_run(
    work: UnitOfWork,
    run_id: str,
    asked: BillingRunSettings,
    scope: Mapping[str, Any],
    *,
    starter: Mapping[str, Any] | None,
    cause: Cause,
    four_eyes: bool,
) -> StoredRun:
    """The new run, or the one that the same request has created before, of which the same is told again.

    `scope` is the checked scope as JSON. Raises SettingsError or RunExistsError.
    """
    settings = _settings_of(asked, scope)
    problems = (
        *settings_problems(settings),
        *process_type_problems(settings.process_type, four_eyes=four_eyes),
    )
    if problems:
        raise SettingsError(problems)
    run = StoredRun(
        run_id=run_id,
        settings=settings,
        state=CREATED,
        description=asked.description or generated_description(run_id, settings.scope, settings.invoice_date),
        created_at=now(),
        starter=starter,
    )
    request_hash = _hash_of(asked, scope)
    created = await runs.insert_run(work.connection, run, request_hash=request_hash)
    if created is not None:
        work.publish(facts.RUN_CREATED, run_id, facts.run_body(created), cause)
        return created
    known = (await runs.lock_runs(work.connection, [run_id])).get(run_id)
    if known is None or await runs.request_hash_of(work.connection, run_id) != request_hash:
        raise RunExistsError(run_id)
    work.publish(facts.RUN_CREATED, run_id, facts.run_body(known), cause)
    return known


def _settings_of(asked: BillingRunSettings, scope: Mapping[str, Any]) -> RunSettings:
    threshold = asked.threshold
    return RunSettings(
        kind=RunKind(asked.kind),
        scope=scope_of(scope),
        invoice_date=asked.invoice_date,
        process_type=ProcessType(asked.process_type),
        collection_date=asked.collection_date,
        grouping=Grouping(asked.grouping),
        skip_validation_rules=asked.skip_validation_rules,
        recompute_dates_at_validation=asked.recompute_dates_at_validation,
        incremental=asked.incremental,
        on_rejected=OnRejected(asked.on_rejected),
        on_suspect=OnSuspect(asked.on_suspect),
        release_first=asked.release_first,
        threshold=Threshold(threshold.amount, threshold.currency) if threshold is not None else None,
    )


def _hash_of(asked: BillingRunSettings, scope: Mapping[str, Any]) -> bytes:
    words = asked.model_dump(mode="json", include=set(BillingRunSettings.model_fields))
    text = orjson.dumps({"settings": words, "scope": scope}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).digest()
