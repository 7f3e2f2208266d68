"""Companies: what they set for their documents."""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from accounting_connector.api.answers import json_response
from accounting_connector.api.company_settings import (
    CompanySettingsAnswer,
    CompanySettingsBody,
    TryOutAnswer,
    TryOutBody,
)
from accounting_connector.domain.eligibility import custom_field_name
from accounting_connector.domain.known_fields import unknown_field_message
from accounting_connector.facts import document_body
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.setting_fields import known_fields_body, unknown_fields
from accounting_connector.handlers.trying import try_settings
from accounting_connector.store import parties
from accounting_connector.store.connection import Reader
from accounting_connector.store.custom_fields import known_fields
from accounting_connector.store.documents import StoredDocument
from accounting_connector.store.reason_bodies import reason_bodies
from shared.contracts.base import Id
from shared.database.database import Database
from shared.database.unit_of_work import Cause, UnitOfWork
from shared.http.authorization import require
from shared.http.idempotency import Answer, answer_once
from shared.http.problems import ERRORS_MAX, FieldError, Problem, not_found, validation_failed
from shared.http.tokens import Principal

_POLL_SECONDS: Final = 0.05
VERSION_MAX: Final = 2**31 - 1


def companies_router(database: Database, deployment: Deployment) -> APIRouter:
    """The calls about companies' settings."""
    router = APIRouter(tags=["companies"])

    async def _wait_for(company_id: str) -> None:
        # PSA may just have told of the company, on a line that this service is about to read.
        end = time.monotonic() + min(deployment.lag_seconds, deployment.command_wait_seconds)
        while time.monotonic() < end:
            if await parties.load_companies(database.pool, [company_id]):
                return
            await asyncio.sleep(_POLL_SECONDS)

    @router.get(
        "/companies/{company_id}/settings",
        response_model=CompanySettingsAnswer,
        dependencies=[require("documents:read")],
    )
    async def get_settings(
        company_id: Annotated[Id, Path()],
        version: Annotated[
            int | None, Query(ge=1, le=VERSION_MAX, description="the one in force if not given")
        ] = None,
    ) -> Response:
        """The settings in force, or those of an older version."""
        return json_response(await _settings(database, company_id, version))

    @router.put("/companies/{company_id}/settings", response_model=CompanySettingsAnswer)
    async def put_settings(
        request: Request,
        company_id: Annotated[Id, Path()],
        body: CompanySettingsBody,
        principal: Annotated[Principal, require("settings:write")],
    ) -> Response:
        """Put settings in force for all documents made from now on; the ones before are kept.

        A company that is not known is waited for shortly, and then not found.
        """
        settings = body.as_stored()
        if body.closed_through is not None and body.closed_through >= deployment.today():
            raise validation_failed([FieldError("closed_through", "should be yesterday or before")])
        changed_by = {"user_id": principal.user_id, "email": principal.email}
        await _wait_for(company_id)

        async def act(work: UnitOfWork) -> Answer:
            await _refuse_unknown_fields(work.connection, company_id, settings)
            version = await parties.add_settings(work.connection, company_id, settings, changed_by)
            if version is None:
                raise not_found()
            before = await parties.load_settings(work.connection, company_id, version - 1)
            if before is not None and body.reason is None and _is_set_back(before, settings):
                message = "should be given: the books that were closed are opened again"
                raise validation_failed([FieldError("reason", message)])
            _tell(work, company_id, version, settings, changed_by)
            return Answer(200, _answer(company_id, version, settings))

        return await answer_once(database, request, principal, act)

    @router.post(
        "/companies/{company_id}/settings/try",
        response_model=TryOutAnswer,
        dependencies=[require("settings:write")],
    )
    async def try_out(company_id: Annotated[Id, Path()], body: TryOutBody) -> Response:
        """The document that these settings would make of an event, or the reasons; nothing is kept."""
        settings = body.settings.as_stored()
        tried = await try_settings(database.pool, deployment, company_id, settings, body.billing_event_id)
        if tried is None:
            raise not_found()
        document = tried.document
        shown = None if document is None else document_body(StoredDocument(document, None, None))
        answer = {
            "eligible": tried.is_eligible,
            "document": shown,
            "reasons": reason_bodies(tried.reasons),
            "unknown_fields": sorted({each.name for each in tried.unknown}),
            "known_fields": known_fields_body(tried.known),
        }
        return json_response(answer)

    return router


async def _refuse_unknown_fields(connection: Reader, company_id: str, settings: Mapping[str, Any]) -> None:
    """Raise Problem for criteria on fields that there are not: they would stop every event."""
    known = await known_fields(connection, company_id)
    unknown = list(unknown_fields(settings, known))
    if unknown:
        errors = [
            FieldError(
                each.setting,
                unknown_field_message(each.name, known.of_items if each.is_of_item else known.of_events),
            )
            for each in unknown[:ERRORS_MAX]
        ]
        names = sorted({each.name for each in unknown})
        members = {"unknown_fields": names, "known_fields": known_fields_body(known)}
        raise Problem(422, "validation_failed", "The request is not valid", errors=errors, members=members)


def _tell(
    work: UnitOfWork,
    company_id: str,
    version: int,
    settings: Mapping[str, Any],
    changed_by: Mapping[str, Any],
) -> None:
    """Tell what other services must know of a company's settings."""
    field = settings["auto_pass_field"]
    body = {
        "company_id": company_id,
        "version": version,
        "auto_pass_field": None if field is None else custom_field_name(field),
        "starter": changed_by,
    }
    cause = Cause.begun_here(company_id)
    work.publish("accounting.company.settings-changed.v1", company_id, body, cause)


def _is_set_back(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a period that was closed is open again; days as JSON has them are in order."""
    return (after["closed_through"] or "") < (before["closed_through"] or "")


async def _settings(database: Database, company_id: str, version: int | None) -> dict[str, Any]:
    """Settings of a company as they are shown; version None: those in force. Raises Problem where there are none."""
    if version is not None:
        older = await parties.load_settings(database.pool, company_id, version)
        if older is None:
            raise not_found()
        return _answer(company_id, version, dict(older))
    company = (await parties.load_companies(database.pool, [company_id])).get(company_id)
    if company is None:
        raise not_found()
    return _answer(company_id, company.settings_version, dict(company.settings))


def _answer(company_id: str, version: int, settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "company_id": company_id, "version": version}
