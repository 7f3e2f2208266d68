"""Projects, accounts, companies, exchange rates and business records arrive (domain.md section 1)."""

from collections.abc import Sequence
from typing import TypeVar

from release.domain.cap_reasons import capped_budget_ids
from release.domain.cap_state import ProjectCap
from release.domain.events import RecordKey
from release.domain.sources import Source, sources_touched_by_company
from release.handlers.thresholds import caps_before_change, publish_crossings
from release.store import completions, sources
from release.store.caps import load_caps
from shared.contracts.facts import FIRST_MAX
from shared.contracts.psa import (
    AccountUpserted,
    BusinessRecordUpserted,
    CompanyUpserted,
    ExchangeRateUpserted,
    ProjectUpserted,
)
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.messaging.message import Message

Body = TypeVar("Body")


async def take_sources(work: UnitOfWork, messages: Sequence[Message]) -> None:
    """Keep what is newer than what is known, and note what events may depend on, so that they are completed again.

    Locks projects, then what else is sent. Messages of other types are left alone.
    """
    await _take_projects(work, _of_type(messages, ProjectUpserted))
    await sources.upsert_accounts(work.connection, _bodies(messages, AccountUpserted))
    await _take_companies(work, _of_type(messages, CompanyUpserted))
    await sources.upsert_exchange_rates(work.connection, _bodies(messages, ExchangeRateUpserted))
    await _take_business_records(work, _of_type(messages, BusinessRecordUpserted))


async def _take_projects(work: UnitOfWork, messages: Sequence[Message]) -> None:
    """Keep projects with their budgets; tell of thresholds that new bookings cross, and of caps that now conflict."""
    if not messages:
        return
    causes = {message.body.project_id: message.cause for message in messages}
    before = await caps_before_change(work, causes)
    newer = await sources.upsert_projects(work.connection, [message.body for message in messages])
    changed = {project.project_id: causes[project.project_id] for project in newer}
    await completions.note_changes(
        work.connection,
        [(Source("project", project_id), cause) for project_id, cause in sorted(changed.items())],
    )
    await publish_crossings(work, before, changed)
    after = await load_caps(work.connection, changed)
    for project in newer:
        cap, known = after[project.project_id], before.get(project.project_id)
        if cap.conflict and (known is None or not known.conflict):
            _publish_conflict(work, cap, project.version, changed[project.project_id])


def _publish_conflict(work: UnitOfWork, cap: ProjectCap, version: int, cause: Cause) -> None:
    """Tell operators that the caps of a project are wrongly configured (domain.md section 3)."""
    body = {
        "project_id": cap.project_id,
        "version": version,
        "budget_ids": capped_budget_ids(cap),
        "former_currencies": list(cap.former_currencies[:FIRST_MAX]),
        "starter": None,
    }
    work.publish("release.cap.configuration-conflict.v1", cap.project_id, body, cause)


async def _take_companies(work: UnitOfWork, messages: Sequence[Message]) -> None:
    causes = {message.body.company_id: message.cause for message in messages}
    changed: dict[Source, Cause] = {}
    for before, after in await sources.upsert_companies(
        work.connection, [message.body for message in messages]
    ):
        touched = sorted(sources_touched_by_company(before, after))
        changed.update(dict.fromkeys(touched, causes[after.company_id]))
    await completions.note_changes(work.connection, changed.items())


async def _take_business_records(work: UnitOfWork, messages: Sequence[Message]) -> None:
    causes = {RecordKey(message.body.kind, message.body.record_id): message.cause for message in messages}
    newer = await sources.upsert_business_records(work.connection, [message.body for message in messages])
    await completions.note_changes(work.connection, [(Source(*key), causes[key]) for key in newer])


def _of_type(messages: Sequence[Message], model: type[Body]) -> list[Message]:
    return [message for message in messages if type(message.body) is model]


def _bodies(messages: Sequence[Message], model: type[Body]) -> list[Body]:
    return [message.body for message in messages if type(message.body) is model]
