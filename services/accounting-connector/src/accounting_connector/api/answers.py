"""What the calls answer with: models for the API's description, and bodies that are written as they stand."""

from collections.abc import Mapping
from typing import Any, Literal

import orjson
from pydantic import Field
from starlette.responses import Response

from shared.contracts.accounting_facts import ProcessRunFact
from shared.contracts.base import Count, Date, Id, Instant, Name, Reader
from shared.contracts.custom_fields import CustomFields
from shared.contracts.decimals import TotalAmount
from shared.contracts.document import Document, DocumentStatus, Party
from shared.contracts.facts import BillingEventReasons, Reasons, ReconciliationCheck
from shared.contracts.selections import DocumentKind

RenderingState = Literal["none", "queued", "ready", "failed", "stale"]
LogResult = Literal["ok", "warning", "error", "pending"]
ProcessRunKind = Literal["on_demand", "release_and_invoice", "schedule", "auto_pass", "billing_run"]


class Rendering(Reader):
    """How far the files of a document are; `stale`: made of the draft, and to be made again."""

    xml: RenderingState
    pdf: RenderingState


class DocumentHead(Reader):
    """A document in a list: without its lines and taxes."""

    document_id: Id
    kind: DocumentKind
    status: DocumentStatus
    number: Name
    date: Date | None
    due_date: Date | None
    currency: str
    account: Party
    company: Party
    billing_event_ids: list[Id]
    billing_run_id: Id | None
    process_run_id: Id | None
    total_net: TotalAmount
    total_tax: TotalAmount
    total_gross: TotalAmount
    rendering: Rendering
    created_at: Instant


class DocumentAnswer(Document):
    """A document with what only the API shows of it."""

    collection_date: Date | None
    payment_days: Count
    rendering: Rendering
    created_at: Instant


class ProcessRunLinks(Reader):
    """Where more is to be seen: the run's log, and its page."""

    log: str
    page: str


class ProcessRunAnswer(ProcessRunFact):
    """A process run with its times and how far it is: `total` events, of which `pending` are to be worked, or again."""

    selection: CustomFields
    created_at: Instant
    ended_at: Instant | None
    total: Count
    links: ProcessRunLinks


class ProcessRunStarted(Reader):
    """The answer to a process run that was asked for."""

    process_run_id: Id
    status: Literal["in_progress"]
    date_warnings: Reasons = Field(default_factory=list)
    links: ProcessRunLinks


class ProcessLogEntry(Reader):
    """What became of one event of a process run."""

    billing_event_id: Id
    result: LogResult
    document_id: Id | None
    reasons: Reasons
    time: Instant | None


class Eligibility(BillingEventReasons):
    """Whether an event can become a document, and all that speaks against it."""

    eligible: bool


class SelectionValidated(Reader):
    """What a process run would not pass; `validated` false: too many to check."""

    checked: Count
    would_fail: list[BillingEventReasons]
    validated: bool


class Position(Reader):
    """How far a line has read a partition, and what became of its records."""

    line: str
    topic: str
    partition: Count
    next_offset: Count
    applied: Count
    duplicates: Count
    dead_letters: Count
    ignored: Count


class Reconciliation(Reader):
    """Whether the books balance."""

    balanced: bool
    checks: list[ReconciliationCheck]
    positions: list[Position]


def json_response(body: Mapping[str, Any], status: int = 200) -> Response:
    """The body as JSON, as it stands."""
    return Response(orjson.dumps(body), status, media_type="application/json")
