"""The figures of a run: a preview by the same selection as the step that claims, final once lines are complete."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing_runs.domain.lifecycle import Status
from billing_runs.domain.statistics import (
    PostInvoicingReport,
    PreInvoicingReport,
    post_invoicing_report,
    pre_invoicing_report,
)
from billing_runs.handlers.selection import select_all
from billing_runs.store import figures, run_documents, run_events
from billing_runs.store.accounts_left import AccountLeft, accounts_left
from billing_runs.store.connection import Reader
from billing_runs.store.run_events import ids_of
from billing_runs.store.runs import StoredRun

_LINES_ARE_NOT_COMPLETE: Final = frozenset({Status.NEW, Status.CREATING_INVOICE_LINES, Status.OPEN})


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """The reports before and after invoicing, the events by state and currency (count, amount), the accounts left."""

    is_preview: bool
    before: PreInvoicingReport
    after: PostInvoicingReport
    fates: list[tuple[str, str | None, int, Decimal]]
    left: list[AccountLeft]


async def statistics_of(connection: Reader, run: StoredRun, *, zero_amounts: bool) -> RunStatistics:
    """The figures of a run as it stands. `zero_amounts`: whether the connector invoices events that sum to zero."""
    is_preview = run.state.status in _LINES_ARE_NOT_COMPLETE
    if is_preview:
        event_ids: list[str] = []
        async for selection in select_all(connection, run, release_first=run.settings.release_first):
            event_ids += ids_of(selection.expected(zero_amounts=zero_amounts))
        items, events = await figures.items_of_events(connection, event_ids)
    else:
        items, events = await figures.items_of_run(connection, run.run_id)
    return RunStatistics(
        is_preview=is_preview,
        before=pre_invoicing_report(items, events=events),
        after=post_invoicing_report(await run_documents.counted_documents(connection, run.run_id)),
        fates=await run_events.fates_of(connection, run.run_id),
        left=await accounts_left(connection, run.run_id),
    )
