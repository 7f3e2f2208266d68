"""Whether events can become documents, with all that speaks against them: the one check of every way in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from accounting_connector.domain.assessment import Assessment, assess
from accounting_connector.domain.companies import Party
from accounting_connector.domain.corrections import Original
from accounting_connector.domain.eligibility import (
    Candidate,
    Terms,
    check_eligibility,
    custom_field_name,
    is_flag_set,
    wants_auto_pass,
)
from accounting_connector.domain.kinds import DocumentKind
from accounting_connector.domain.lines import AccountLookup
from accounting_connector.domain.reasons import Reason
from accounting_connector.store import corrections, parties
from accounting_connector.store.billing_events import StoredEvent
from accounting_connector.store.connection import Reader
from accounting_connector.store.event_bodies import billing_event_of
from accounting_connector.store.parties import StoredCompany

INTERNAL_ERROR: Final = Reason(
    "internal_error", "The document could not be made: a mistake of ours, see the log"
)

NOTHING_TRIED: Final[Mapping[str, StoredCompany]] = {}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Assessed:
    """An event with what was found.

    `assessment` is None, with the reason, for an event that could not even be read: a fault of ours, so that it is
    tried again. `waits`: it names an account or a
    company that is not known (yet). `wants_auto_pass`: it is to be passed by itself.
    """

    stored: StoredEvent
    assessment: Assessment | None
    reasons: tuple[Reason, ...]
    waits: bool
    wants_auto_pass: bool
    additional_recipients: tuple[str, ...]

    @property
    def is_eligible(self) -> bool:
        """Whether no criterion of eligibility fails (domain.md section 4)."""
        return self.assessment is not None and self.assessment.is_eligible

    @property
    def series_owner(self) -> tuple[str | None, DocumentKind | None]:
        """Whose series of numbers its document would belong to: company and kind."""
        return self.stored.company_id, None if self.assessment is None else self.assessment.kind

    @property
    def is_to_be_passed(self) -> bool:
        """Whether it is eligible, or might be but for a fault of ours."""
        return self.assessment is None or self.assessment.is_eligible


@dataclass(frozen=True, slots=True)
class _Surroundings:
    accounts: dict[str, Party]
    companies: dict[str, StoredCompany]
    originals: dict[str, Original]


async def assess_events(
    connection: Reader,
    events: Sequence[StoredEvent],
    terms: Terms,
    *,
    tried: Mapping[str, StoredCompany] = NOTHING_TRIED,
) -> list[Assessed]:
    """Assess these events, in this order, on these terms. One that breaks the check gets `internal_error`.

    `tried`: companies with settings to try out, in place of those in force.
    """
    around = await _surroundings(connection, events, tried)
    names: set[str] = set()

    def note(name: str) -> Sequence[Party]:
        names.add(name)
        return ()

    assessed = [_assess(event, around, terms, note) for event in events]
    if not names:
        return assessed
    # Mappings have named accounts: now that the names are known, the accounts can be read at once.
    found = await parties.find_accounts(connection, names)
    return [_assess(event, around, terms, lambda name: found.get(name, ())) for event in events]


async def ineligible_events(
    connection: Reader, events: Sequence[StoredEvent], terms: Terms
) -> tuple[dict[str, tuple[Reason, ...]], list[StoredEvent]]:
    """Those of these events that are not eligible, with every failing criterion, by id; lines are not looked at.

    One that cannot be assessed by a fault of ours is not among them: nothing speaks against it, and whoever makes its
    document tries again. And those that name an account or a company that is not known (yet).
    """
    around = await _surroundings(connection, events, NOTHING_TRIED)
    found: dict[str, tuple[Reason, ...]] = {}
    for stored in events:
        try:
            reasons = check_eligibility(_candidate(stored, around), terms).reasons
        except Exception:
            log.exception("billing event could not be assessed", billing_event_id=stored.billing_event_id)
            continue
        if reasons:
            found[stored.billing_event_id] = reasons
    return found, [stored for stored in events if _waits(stored, around)]


def is_left_out(event: Assessed) -> bool:
    """Whether a run over all that is eligible leaves the event out, silently (domain.md section 4, "Ways in")."""
    return not event.is_eligible and event.assessment is not None and event.stored.live_document is None


def in_order_of_correction(events: Iterable[StoredEvent]) -> Iterator[list[StoredEvent]]:
    """The events in rounds: one that corrects another of them comes in a later round, when that has its document."""
    waiting = list(events)
    while waiting:
        ids = {event.billing_event_id for event in waiting}
        ready = [event for event in waiting if event.body.get("corrects_billing_event_id") not in ids]
        # Events that correct each other in a circle are never ready: their reasons say so.
        yield ready or waiting
        taken = {event.billing_event_id for event in ready or waiting}
        waiting = [event for event in waiting if event.billing_event_id not in taken]


async def _surroundings(
    connection: Reader, events: Sequence[StoredEvent], tried: Mapping[str, StoredCompany]
) -> _Surroundings:
    corrected = {event.body.get("corrects_billing_event_id") for event in events}
    return _Surroundings(
        await parties.load_accounts(connection, _given(event.account_id for event in events)),
        {**await parties.load_companies(connection, _given(event.company_id for event in events)), **tried},
        await corrections.originals_of_events(connection, _given(corrected)),
    )


def _given(ids: Iterable[str | None]) -> set[str]:
    return {each for each in ids if each is not None}


def _assess(
    stored: StoredEvent, around: _Surroundings, terms: Terms, find_accounts: AccountLookup
) -> Assessed:
    company = around.companies.get(stored.company_id or "")
    waits = _waits(stored, around)
    recipients = () if company is None else company.additional_recipients
    try:
        candidate = _candidate(stored, around)
        assessment = assess(candidate, terms, find_accounts)
        flag_field = None if company is None else company.company.settings.auto_pass_field
        wanted = wants_auto_pass(candidate.event, flag_field)
    except Exception:
        log.exception("billing event could not be assessed", billing_event_id=stored.billing_event_id)
        wanted = _may_want(stored, company)
        return Assessed(stored, None, (INTERNAL_ERROR,), waits, wanted, recipients)
    return Assessed(stored, assessment, assessment.reasons, waits, wanted, recipients)


def _may_want(stored: StoredEvent, company: StoredCompany | None) -> bool:
    """Whether an event that could not be read is to be passed by itself, as far as can be seen."""
    name = None if company is None else company.company.settings.auto_pass_field
    if name is None:
        return stored.body.get("auto_pass_to_accounting") is True
    fields = stored.body.get("fields")
    return isinstance(fields, dict) and is_flag_set(fields.get(custom_field_name(name)))


def _waits(stored: StoredEvent, around: _Surroundings) -> bool:
    is_without_account = stored.account_id is not None and stored.account_id not in around.accounts
    return is_without_account or (stored.company_id is not None and stored.company_id not in around.companies)


def _candidate(stored: StoredEvent, around: _Surroundings) -> Candidate:
    event = billing_event_of(stored.body, stored.stage)
    company = around.companies.get(stored.company_id or "")
    return Candidate(
        event=event,
        account=around.accounts.get(stored.account_id or ""),
        company=None if company is None else company.company,
        claimed_by_run=stored.claimed_by_run,
        live_document_id=None if stored.live_document is None else stored.live_document.document_id,
        original=around.originals.get(event.corrects_billing_event_id or ""),
    )
