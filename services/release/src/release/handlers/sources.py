"""Projects, accounts, companies, exchange rates and business records arrive (domain.md section 1)."""

from collections.abc import Sequence
from typing import TypeVar

from release.domain.sources import Source, sources_touched_by_company
from release.store import completions, sources
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


async def take_sources(work: UnitOfWork, messages: Sequence[Message]) -> frozenset[str]:
    """Keep what is newer than what is known, and note what events may depend on, so that they are completed again.

    Gives the ids of the projects that were newer: their rows are locked, and their bookings may have changed. Messages
    of other types are left alone.
    """
    changed: dict[Source, Cause] = {}
    project_messages = {message.body.project_id: message for message in _of_type(messages, ProjectUpserted)}
    newer_projects = await sources.upsert_projects(work.connection, _bodies(messages, ProjectUpserted))
    for project_id in sorted(newer_projects):
        changed[Source("project", project_id)] = project_messages[project_id].cause
    await sources.upsert_accounts(work.connection, _bodies(messages, AccountUpserted))
    company_messages = {message.body.company_id: message for message in _of_type(messages, CompanyUpserted)}
    for before, after in await sources.upsert_companies(work.connection, _bodies(messages, CompanyUpserted)):
        cause = company_messages[after.company_id].cause
        changed.update(dict.fromkeys(sorted(sources_touched_by_company(before, after)), cause))
    await sources.upsert_exchange_rates(work.connection, _bodies(messages, ExchangeRateUpserted))
    record_messages = {
        Source(message.body.kind, message.body.record_id): message
        for message in _of_type(messages, BusinessRecordUpserted)
    }
    for key in await sources.upsert_business_records(
        work.connection, _bodies(messages, BusinessRecordUpserted)
    ):
        source = Source(*key)
        changed[source] = record_messages[source].cause
    await completions.note_changes(work.connection, changed.items())
    return frozenset(newer_projects)


def _of_type(messages: Sequence[Message], model: type[Body]) -> list[Message]:
    return [message for message in messages if type(message.body) is model]


def _bodies(messages: Sequence[Message], model: type[Body]) -> list[Body]:
    return [message.body for message in messages if type(message.body) is model]
