"""Settings tried out on a real event: the document that they would make; nothing is kept (domain.md section 4)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from accounting_connector.domain.companies import Company
from accounting_connector.domain.documents import Document, draft_document
from accounting_connector.domain.known_fields import KnownFields
from accounting_connector.domain.reasons import Reason
from accounting_connector.handlers.assessing import assess_events
from accounting_connector.handlers.deployment import Deployment
from accounting_connector.handlers.setting_fields import UnknownField, unknown_fields
from accounting_connector.store import billing_events, parties
from accounting_connector.store.connection import Reader
from accounting_connector.store.custom_fields import known_fields
from accounting_connector.store.parties import company_settings_of

DOCUMENT_ID: Final = "try-out"
"""The id of a document that is not kept."""


@dataclass(frozen=True, slots=True)
class TriedOut:
    """The document that would be made, or the reasons why there would be none; what the settings name in vain.

    `is_eligible`: no criterion of eligibility fails. `known`: the fields that criteria may name.
    """

    document: Document | None
    reasons: tuple[Reason, ...]
    is_eligible: bool
    unknown: tuple[UnknownField, ...]
    known: KnownFields


async def try_settings(
    connection: Reader,
    deployment: Deployment,
    company_id: str,
    settings: Mapping[str, Any],
    billing_event_id: str,
) -> TriedOut | None:
    """Assess an event as if its company had these settings; None for a company or an event that is not known.

    An event of another company: `other_company`.
    """
    stored = (await parties.load_companies(connection, [company_id])).get(company_id)
    event = (await billing_events.load_events(connection, [billing_event_id])).get(billing_event_id)
    if stored is None or event is None:
        return None
    known = await known_fields(connection, company_id)
    unknown = tuple(unknown_fields(settings, known))
    if event.company_id not in {company_id, None}:
        message = f"Billing event {billing_event_id} is billed by {event.company_id}"
        reason = Reason("other_company", message, {"company_id": event.company_id})
        return TriedOut(None, (reason,), is_eligible=False, unknown=unknown, known=known)
    company = Company(stored.company.party, company_settings_of(settings))
    tried = {company_id: replace(stored, company=company, settings=settings)}
    (assessed,) = await assess_events(connection, [event], deployment.terms, tried=tried)
    if assessed.assessment is None or assessed.reasons:
        return TriedOut(None, assessed.reasons, assessed.is_eligible, unknown, known)
    today = deployment.today()
    document = draft_document(DOCUMENT_ID, [assessed.assessment], deployment.terms, invoice_date=today)
    return TriedOut(document, (), is_eligible=True, unknown=unknown, known=known)
