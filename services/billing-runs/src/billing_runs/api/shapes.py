"""How runs, executions, events and documents look in answers (contract.md section 2, Shapes)."""

from collections.abc import Iterable, Mapping
from typing import Any

from billing_runs.domain.executions import Execution, LogLine, global_status, indicators
from billing_runs.domain.lifecycle import available_actions
from billing_runs.domain.review import ReviewAction, available_review_actions
from billing_runs.domain.rules import Rule
from billing_runs.domain.statistics import AmountByCurrency, PostInvoicingReport, Top
from billing_runs.facts import format_instant
from billing_runs.handlers.statistics import RunStatistics
from billing_runs.store.executions import StoredExecution
from billing_runs.store.run_documents import StoredDocument, finding_bodies
from billing_runs.store.run_events import RunEvent
from billing_runs.store.runs import StoredRun
from billing_runs.store.scopes import scope_body
from shared.money import format_amount


def run_shape(run: StoredRun, executions: Iterable[Execution]) -> dict[str, Any]:
    """A run with what can be done with it now; its executions come from the oldest to the latest."""
    settings, state = run.settings, run.state
    threshold = settings.threshold
    steps = list(executions)
    overall = global_status(steps)
    shown = indicators(steps)
    return {
        "run_id": run.run_id,
        "kind": settings.kind.value,
        "process_type": settings.process_type.value,
        "scope": scope_body(settings.scope),
        "invoice_date": settings.invoice_date.isoformat() if settings.invoice_date else None,
        "collection_date": settings.collection_date.isoformat() if settings.collection_date else None,
        "grouping": settings.grouping.value,
        "skip_validation_rules": settings.skip_validation_rules,
        "recompute_dates_at_validation": settings.recompute_dates_at_validation,
        "incremental": settings.incremental,
        "on_rejected": settings.on_rejected.value,
        "on_suspect": settings.on_suspect.value,
        "release_first": settings.release_first,
        "threshold": {
            "amount": format_amount(threshold.amount, threshold.currency),
            "currency": threshold.currency,
        }
        if threshold is not None
        else None,
        "description": run.description,
        "status": state.status.value,
        "execution": state.execution.value,
        "disabled": state.disabled,
        "quarantine_run_id": run.quarantine_run_id,
        "quarantine_of": run.quarantine_of,
        "starter": run.starter,
        "created_at": format_instant(run.created_at),
        "executions_status": overall.value if overall is not None else None,
        "available_actions": [
            {
                "action": each.action.value,
                "leads_to": each.leads_to.value,
                "indicator": each.indicator.value if each.indicator is not None else None,
            }
            for each in available_actions(state, shown)
        ],
        "indicators": {action.value: indicator.value for action, indicator in shown.items()},
    }


def execution_shape(stored: StoredExecution) -> dict[str, Any]:
    """An execution with its log."""
    execution = stored.execution
    return {
        "execution_id": execution.execution_id,
        "step": execution.step.value,
        "invoice_date": stored.invoice_date.isoformat() if stored.invoice_date else None,
        "status": execution.status.value,
        "started_at": format_instant(execution.started_at) if execution.started_at else None,
        "ended_at": format_instant(execution.ended_at) if execution.ended_at else None,
        "to_do": execution.to_do,
        "done": execution.done,
        "warnings": execution.warnings,
        "errors": execution.errors,
        "starter": stored.starter,
        "log": [_log_line(line) for line in execution.log],
    }


def _log_line(line: LogLine) -> dict[str, Any]:
    return {
        "time": format_instant(line.time),
        "level": line.level.value,
        "message": line.message,
        "subject_id": line.subject_id,
    }


def run_event_shape(event: RunEvent) -> dict[str, Any]:
    """An event of a run, with what became of it."""
    has_amount = event.amount is not None and event.currency is not None
    return {
        "billing_event_id": event.billing_event_id,
        "state": event.state,
        "currency": event.currency,
        "amount": format_amount(event.amount, event.currency) if has_amount else None,  # type: ignore[arg-type]
        "document_id": event.document_id,
        "reasons": event.reasons or [],
    }


def document_shape(document: StoredDocument, head: Mapping[str, Any], run: StoredRun) -> dict[str, Any]:
    """A document's head with its review; `billing_run_id` is the run that drafted it, `run_id` where it is now."""
    review, asked = document.review, document.asked
    actions = available_review_actions(
        review,
        disabled=run.state.disabled,
        quarantine_run=run.quarantine_of is not None,
        under_way=ReviewAction(asked.action) if asked is not None else None,
        is_refused=bool(document.refusal),
    )
    return {
        **head,
        "run_id": document.run_id,
        "review": review.review.value,
        "findings": finding_bodies(review.findings),
        "rejected_by": review.rejected_by.value if review.rejected_by is not None else None,
        "reason": review.reason,
        "refusal": document.refusal or [],
        "queued_action": asked.action if asked is not None else None,
        "files": {"xml": document.xml_file or "none", "pdf": document.pdf_file or "none"},
        "available_actions": [
            {
                "action": each.action.value,
                "leads_to": each.leads_to.value if each.leads_to is not None else None,
                "indicator": each.indicator.value if each.indicator is not None else None,
            }
            for each in actions
        ],
    }


def rule_shape(rule: Rule) -> dict[str, Any]:
    """A rule as it was put, and which version of it that is."""
    return {
        "code": rule.code,
        "version": rule.version,
        "kind": rule.kind.value if rule.kind is not None else None,
        "priority": rule.priority,
        "active_from": rule.active_from.isoformat() if rule.active_from is not None else None,
        "active_to": rule.active_to.isoformat() if rule.active_to is not None else None,
        "fail_status": rule.fail_status.value,
        "mode": rule.mode.value,
        "expression": rule.expression,
        "combine": rule.combine.value if rule.combine is not None else None,
        "children": [{"mode": child.mode.value, "expression": child.expression} for child in rule.children],
        "message": rule.message,
    }


def statistics_shape(figures: RunStatistics) -> dict[str, Any]:
    """The figures of a run, before and after invoicing, its events by what became of them, and whom it left out."""
    before, after = figures.before, figures.after
    return {
        "preview": figures.is_preview,
        "accounts": before.accounts,
        "projects": before.projects,
        "events": before.events,
        "items": before.items,
        "amounts": _amounts(before.amounts),
        "by_category": {category: _amounts(amounts) for category, amounts in before.by_category.items()},
        "top_accounts": _tops(before.top_accounts, "account_id"),
        "top_projects": _tops(before.top_projects, "project_id"),
        "top_products": _tops(before.top_products, "product"),
        "documents": {
            "total": sum(each.documents for each in after.documents),
            "groups": [
                {
                    "review": each.review.value,
                    "kind": each.kind.value,
                    "status": each.status,
                    "documents": each.documents,
                    "total_net": _amounts(each.total_net),
                    "total_gross": _amounts(each.total_gross),
                }
                for each in after.documents
            ],
            **_counted(after),
        },
        "accounts_rejected": list(after.accounts_rejected),
        "events_by_state": [
            {
                "state": state,
                "currency": currency,
                "events": events,
                "amount": format_amount(amount, currency) if currency is not None else None,
            }
            for state, currency, events, amount in figures.fates
        ],
        "accounts_not_invoiced": [
            {"account_id": each.account_id, "events": each.events, "code": each.code, "message": each.message}
            for each in figures.left
        ],
    }


def _counted(after: PostInvoicingReport) -> dict[str, dict[str, int]]:
    counted: dict[str, dict[str, int]] = {"by_review": {}, "by_kind": {}, "by_status": {}}
    for each in after.documents:
        for name, key in (
            ("by_review", each.review.value),
            ("by_kind", each.kind.value),
            ("by_status", each.status),
        ):
            counted[name][key] = counted[name].get(key, 0) + each.documents
    return counted


def _amounts(amounts: AmountByCurrency) -> dict[str, str]:
    return {currency: format_amount(amount, currency) for currency, amount in amounts.items()}


def _tops(tops: Iterable[Top], name: str) -> list[dict[str, str]]:
    return [
        {name: top.name, "currency": top.currency, "amount": format_amount(top.amount, top.currency)}
        for top in tops
    ]
