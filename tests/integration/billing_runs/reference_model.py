"""Billing runs as domain.md section 5 tells of them, in memory and one step at a time: nothing is ever under way."""

from dataclasses import dataclass, field

ENDED = frozenset({"validated", "cancelled"})
STEPS = frozenset({"creating_invoice_lines", "creating_invoices", "validating", "cancelling"})
RENDERED = frozenset({"draft_invoices", "rejected", "validated"})
BEFORE_DRAFTS = frozenset({"new", "open", "invoice_lines_created"})

PROCESS = {
    "new": "creating_invoice_lines",
    "open": "creating_invoice_lines",
    "invoice_lines_created": "creating_invoices",
    "draft_invoices": "validating",
    "rejected": "validating",
}
"""What *process* leads to; a status that is not here does not allow it."""


@dataclass
class Event:
    """A billing event of one item and what is wrong with it: `below_threshold`, `no_account` or `refused`."""

    event_id: str
    amount: int
    trouble: str | None
    holder: str | None = None


@dataclass
class Document:
    """A document of one event: where it is and what is thought of it.

    `queued`: what waits for the end of a rendering: `validate`, or `reopen` or `cancel` for its event.
    """

    document_id: str
    event: Event
    run_id: str
    review: str
    by_user: bool = False
    refused: bool = False
    queued: str | None = None


@dataclass
class Run:
    """A run's settings, and where it is; `pending`: its step is queued or under way, `rendering`: one of files."""

    run_id: str
    process_type: str = "manual"
    on_rejected: str = "manual_action"
    on_suspect: str = "automatic_validation"
    incremental: bool = False
    status: str = "new"
    pending: bool = False
    started: bool = False
    rendering: bool = False
    disabled: bool = False
    closes: bool = False
    is_quarantine: bool = False
    has_made_documents: bool = False
    fates: dict[str, str] = field(default_factory=dict)


@dataclass
class Model:
    """All runs over all events; documents above the limits are rejected or suspect."""

    rejected_above: int = 200
    suspect_above: int = 100
    events: dict[str, Event] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)

    def refusal(self, run: Run, action: str) -> str | None:
        """Why the action is refused, in the specified order; None: it is accepted."""
        if run.disabled and action in ("process", "close", "render"):
            return "run_disabled"
        if not self._allows(run, action):
            return "action_not_available"
        if run.pending and action in ("process", "cancel", "render"):
            return "step_running"
        return None

    @staticmethod
    def _allows(run: Run, action: str) -> bool:
        match action:
            case "process":
                return run.status in PROCESS or run.status in STEPS
            case "close":
                return run.status == "open"
            case "cancel":
                return run.status not in ENDED
            case "render":
                return run.status in RENDERED
            case "disable":
                return run.status not in ENDED and not run.disabled
            case _:
                return run.status not in ENDED and run.disabled

    def act(self, run: Run, action: str, *, closes: bool = False) -> None:
        """Do an action that is accepted."""
        match action:
            case "process":
                self._queue(run, PROCESS[run.status])
            case "cancel":
                run.closes = closes
                self._queue(run, "cancelling")
            case "render":
                self._queue(run, run.status)
                run.rendering = True
            case "close":
                run.status = "invoice_lines_created"
            case "disable":
                run.disabled = True
            case "enable":
                run.disabled = False

    @staticmethod
    def _queue(run: Run, status: str) -> None:
        run.status, run.pending, run.started = status, True, False

    def catch_up(self, run: Run, status: str, execution: str) -> None:
        """Go on until the run is where it was seen. Raises AssertionError if it never comes there."""
        while run.status != status or run.pending != (execution in ("queued", "running")):
            assert self._advance(run), f"{run} is never {status}, {execution}"
        run.started = execution == "running"

    def settle(self) -> None:
        """Let every run go on until it rests."""
        while any(self._advance(run) for run in list(self.runs.values())):
            pass

    def _advance(self, run: Run) -> bool:
        if run.pending:
            if run.disabled and not run.started and run.status != "cancelling":
                return False
            self._do_step(run)
            return True
        if self._do_queued(run):
            return True
        destination = self._goes_on_to(run)
        if destination is None:
            return False
        self._queue(run, destination)
        return True

    def _goes_on_to(self, run: Run) -> str | None:
        if run.disabled or run.process_type == "manual":
            return None
        if run.status == "invoice_lines_created":
            return "creating_invoices"
        if run.status != "draft_invoices" or run.process_type != "full_automatic":
            return None
        documents = self.live(run)
        if not documents or any(each.refused for each in documents):
            return None
        waits = run.on_suspect == "manual_action" and any(each.review == "suspect" for each in documents)
        return None if waits else "validating"

    def live(self, run: Run) -> list[Document]:
        """The run's documents that are neither validated nor cancelled."""
        documents = self.documents.values()
        return [each for each in documents if each.run_id == run.run_id and each.review not in ENDED]

    def _do_step(self, run: Run) -> None:
        run.pending = False
        if run.rendering:
            run.rendering = False
            self._derive(run)
            return
        match run.status:
            case "creating_invoice_lines":
                for event in self.events.values():
                    if event.holder is None:
                        event.holder, run.fates[event.event_id] = run.run_id, "draft"
                run.status = "open" if run.incremental else "invoice_lines_created"
            case "creating_invoices":
                self._draft(run)
                if not self._has_only_failed(run):
                    self._derive(run)
            case "validating":
                self._validate(run)
                self._derive(run)
            case _:
                self._cancel(run)

    def _do_queued(self, run: Run) -> bool:
        """What waited for the end of a rendering; validations wait until the run is enabled, too."""
        waiting = [
            each
            for each in self.live(run)
            if each.queued is not None and not (each.queued == "validate" and run.disabled)
        ]
        for document in waiting:
            if document.queued == "validate":
                self.validate_document(document)
            else:
                self.cancel_document(document, closes=document.queued == "cancel")
            document.queued = None
        if waiting:
            self.reviewed(run)
        return bool(waiting)

    def _has_only_failed(self, run: Run) -> bool:
        """Whether the run has made nothing of its events, and still holds them; else it lets the failed ones go."""
        failed = self._held_failed(run)
        if failed and not run.has_made_documents:
            return True
        for event in failed:
            event.holder = None
        return False

    def _held_failed(self, run: Run) -> list[Event]:
        failed = [self.events[each] for each, fate in run.fates.items() if fate == "failed"]
        return [event for event in failed if event.holder == run.run_id]

    def _take_up_failed(self, run: Run) -> None:
        for event in self._held_failed(run):
            run.fates[event.event_id] = "draft"

    def _draft(self, run: Run) -> None:
        self._take_up_failed(run)
        for event_id in [each for each, fate in run.fates.items() if fate == "draft"]:
            event = self.events[event_id]
            if event.trouble in ("below_threshold", "no_account"):
                run.fates[event_id] = "failed" if event.trouble == "no_account" else event.trouble
                if event.trouble == "below_threshold":
                    event.holder = None
                continue
            run.has_made_documents = True
            document_id = f"D-{event_id}"
            while document_id in self.documents:
                document_id += "."
            document = Document(document_id, event, run.run_id, self.verdict(event))
            self.documents[document_id] = document
            wish = {"rejected": run.on_rejected, "suspect": run.on_suspect}.get(document.review)
            if wish == "cancel":
                self.cancel_document(document, closes=False)
            elif wish == "move":
                self.move(document)

    def verdict(self, event: Event) -> str:
        """What the rules say of the event's document."""
        if abs(event.amount) > self.rejected_above:
            return "rejected"
        return "suspect" if abs(event.amount) > self.suspect_above else "draft"

    def _validate(self, run: Run) -> None:
        for document in self.live(run):
            if document.review == "rejected" and not document.by_user:
                document.review = self.verdict(document.event)
            if document.review != "rejected":
                self.validate_document(document)

    def validate_document(self, document: Document) -> None:
        """Number a document, unless the connector refuses it."""
        if document.event.trouble == "refused":
            document.refused = True
            return
        document.review, document.event.holder = "validated", "validated"
        self.runs[document.run_id].fates[document.event.event_id] = "validated"

    def cancel_document(self, document: Document, *, closes: bool) -> None:
        """Cancel a document; its event is free again, or closed for good."""
        document.review, document.by_user = "cancelled", False
        self._let_go(self.runs[document.run_id], document.event, closes=closes)

    @staticmethod
    def _let_go(run: Run, event: Event, *, closes: bool) -> None:
        event.holder = "closed" if closes else None
        run.fates[event.event_id] = "cancelled" if closes else "reopened"

    def move(self, document: Document) -> None:
        """Move a document and its event to the run's quarantine run."""
        origin = self.runs[document.run_id]
        quarantine_id = f"{origin.run_id}.quarantine"
        is_new = quarantine_id not in self.runs
        if is_new:
            self.runs[quarantine_id] = Run(quarantine_id, status="rejected", is_quarantine=True)
        quarantine = self.runs[quarantine_id]
        document.run_id = document.event.holder = quarantine_id
        quarantine.fates[document.event.event_id] = origin.fates.pop(document.event.event_id)
        if not is_new:
            self._derive(quarantine)

    def _cancel(self, run: Run) -> None:
        for document in self.live(run):
            self.cancel_document(document, closes=run.closes)
        self._take_up_failed(run)
        for event_id, fate in run.fates.items():
            if fate == "draft":
                self._let_go(run, self.events[event_id], closes=run.closes)
        run.status = "validated" if "validated" in run.fates.values() else "cancelled"
        run.disabled = False

    def reviewed(self, run: Run) -> None:
        """The run's documents have changed by review."""
        if run.status in ("draft_invoices", "rejected"):
            self._derive(run)

    def _derive(self, run: Run) -> None:
        reviews = [each.review for each in self.live(run)]
        run.status = "rejected" if "rejected" in reviews else "draft_invoices" if reviews else "validated"
        if run.status in ENDED:
            run.disabled = False
