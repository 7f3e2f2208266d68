"""The demo's report for people: what came in, what became of it, and whether the books balance."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

ROWS_MAX: Final = 25
"""Most rows of a table; the rest is counted."""

Report = Mapping[str, Any]
Row = Sequence[Any]


def show(report: Report, console: Console) -> None:
    """Write the whole report."""
    _show_intake(report, console)
    _show_released(report, console)
    _show_split(report, console)
    _show_budget_optimisation(report, console)
    _show_explanations(report, console)
    _show_refused(report, console)
    _show_documents(report, console)
    _show_left_out(report, console)
    _show_partial_credit(report, console)
    _show_revert(report, console)
    _show_billing_run(report, console)
    _show_told(report, console)
    _show_dead_letters(report, console)
    _show_books(report, console)
    _show_time(report, console)
    _show_verdict(report, console)


def _show_intake(report: Report, console: Console) -> None:
    came_in = report.get("came_in")
    if came_in:
        rows = [(name.replace("_", " "), value) for name, value in came_in.items() if name != "amounts"]
        rows += [(f"amount in {currency}", amount) for currency, amount in came_in["amounts"].items()]
        _table(console, "What came in", ("what", "how many"), rows)


def _show_released(report: Report, console: Console) -> None:
    events = report.get("released") or []
    rows = [
        (e["billing_event_id"], e["project_id"], e["items"], _money(e["amount"], e["currency"]))
        for e in events
    ]
    _table(console, "Released", ("billing event", "project", "items", "amount"), rows)
    for currency, amount in (report.get("released_totals") or {}).items():
        console.print(Text(f"in all {_money(amount, currency)}"))
    jobs = [
        (
            job["job_id"],
            "and invoice" if job["and_invoice"] else "",
            job["status"],
            job["released"],
            job["failed"],
        )
        for job in report.get("jobs") or []
    ]
    _table(console, "Release jobs", ("job", "", "status", "released", "failed"), jobs)


def _show_split(report: Report, console: Console) -> None:
    split = report.get("split")
    if split:
        result = split["result"]
        rows = [
            ("billing event", split["billing_event_id"]),
            ("first answer", f"{split['refused_with']}, with a preview"),
            ("items released", ", ".join(result["released_item_ids"])),
            ("items moved", ", ".join(result["moved_item_ids"])),
            ("new billing event", split["new_billing_event_id"]),
            ("left on the cap", f"{split['remaining']['before']}, then {split['remaining']['after']}"),
        ]
        _table(console, "Split at the cap", ("", ""), rows)
    crossed = report.get("threshold")
    if crossed:
        told = (
            f"{crossed['released']} of {crossed['bookings']} released; {crossed['alert_recipient']} was told"
        )
        console.print(Text(f"\nThreshold of {crossed['project_id']}: {told}"))


def _show_budget_optimisation(report: Report, console: Console) -> None:
    found = report.get("budget_optimisation")
    if not found:
        return
    result, budget = found["result"], found["budget"]
    rows = [
        ("billing event", found["billing_event_id"]),
        ("budget", f"{budget['budget_id']} of {budget['amount']}, tolerance {budget['tolerance']}"),
        ("first answer", f"{found['refused_with']}, with a preview"),
        ("items released", ", ".join(result["released_item_ids"])),
        *(
            ("adjustment", f"{half['amount']} in {half['billing_event_id']} ({half['item_id']})")
            for half in result["adjustments"]
        ),
        ("items moved", ", ".join(result["moved_item_ids"])),
        ("new billing event", f"{found['new_billing_event_id']}, {found['new_amount']}"),
        ("left of the budget", f"{budget['remaining_before']}, then {budget['remaining']}"),
    ]
    _table(console, "Budget billed to its full amount", ("", ""), rows)


def _show_explanations(report: Report, console: Console) -> None:
    for explained in report.get("explanations") or []:
        console.print()
        title = f"Why? (sluice explain {explained['billing_event_id']})"
        console.print(Text(title, style="bold"))
        for line in explained["told"]:
            console.print(Text(line))


def _show_left_out(report: Report, console: Console) -> None:
    found = report.get("left_out")
    if found:
        rows = [
            ("billing event", found["billing_event_id"]),
            ("invoice", found["invoice_number"]),
            *(
                ("left-out item", f"{item['item_id']}, {item['amount']}: not {item['criterion']}")
                for item in found["items"]
            ),
            ("process log", " ".join(reason["message"] for reason in found["log_entry"]["reasons"])),
            ("to be billed later", found["new_billing_event_id"]),
        ]
        _table(console, "Left out of a document", ("", ""), rows)


def _show_partial_credit(report: Report, console: Console) -> None:
    found = report.get("partial_credit")
    if found:
        refused = found["refused"]
        rows = [
            ("invoice", found["invoice_number"]),
            ("credit note", f"{found['credit_note_number']}, {found['credited']['total_net']} net"),
            *(("left to correct", f"{amount} at {rate}") for rate, amount in found["left"].items()),
            ("refused", refused["billing_event_id"]),
            ("why", " ".join(reason["message"] for reason in refused["reasons"])),
        ]
        _table(console, "A part credited", ("", ""), rows)


def _show_revert(report: Report, console: Console) -> None:
    found = report.get("revert")
    if found:
        rows = [
            ("billing event", found["billing_event_id"]),
            ("invoice", found["invoice_number"]),
            ("taken back by", found["taken_back_by"]),
            ("left on the cap", f"{found['remaining']['before']}, then {found['remaining']['after']}"),
            ("billable again", ", ".join(record["record_id"] for record in found["records"])),
        ]
        _table(console, "Reverted", ("", ""), rows)


def _show_refused(report: Report, console: Console) -> None:
    rows = [
        (
            refusal["billing_event_id"],
            refusal["by"],
            ", ".join(reason["code"] for reason in refusal["reasons"]),
            " ".join(reason["message"] for reason in refusal["reasons"]),
        )
        for refusal in report.get("refused") or []
    ]
    _table(console, "Refused, and why", ("billing event", "by", "code", "reason"), rows)


def _show_documents(report: Report, console: Console) -> None:
    rows = [
        (
            document["number"],
            document["company"]["name"],
            document["account"]["name"],
            ", ".join(document["billing_event_ids"]),
            _money(document["total_net"], document["currency"]),
            document["total_tax"],
            document["total_gross"],
        )
        for document in report.get("documents") or []
    ]
    _table(
        console, "Documents", ("number", "company", "account", "billing event", "net", "tax", "gross"), rows
    )
    totals = [
        (
            currency,
            sums.get("sales_invoices"),
            sums.get("sales_credit_notes"),
            sums["net"],
            sums["tax"],
            sums["gross"],
        )
        for currency, sums in (report.get("totals") or {}).items()
    ]
    _table(console, "Totals", ("currency", "invoices", "credit notes", "net", "tax", "gross"), totals)


def _show_billing_run(report: Report, console: Console) -> None:
    run = report.get("billing_run")
    if not run:
        return
    _show_steps(f"Billing run {run['run_id']}", run, console)
    rows = [
        (
            decision["document_id"],
            decision["amount"],
            ", ".join(finding["message"] for finding in decision["findings"]),
            decision["action"],
            decision["reason"],
        )
        for decision in report.get("review") or []
    ]
    _table(console, "Its review", ("document", "amount", "what rules found", "decision", "why"), rows)
    quarantine = run.get("quarantine")
    if quarantine:
        _show_steps(f"Its quarantine run {quarantine['run_id']}", quarantine, console)


def _show_steps(title: str, run: Mapping[str, Any], console: Console) -> None:
    rows = [
        (step["step"], step["status"], step["to_do"], step["done"], step["warnings"], step["errors"])
        for step in run["executions"]
    ]
    count = run["documents"]
    documents = "1 document" if count == 1 else f"{count} documents"
    named = f"{title}: {' → '.join(run['statuses'])}; {documents}"
    _table(console, named, ("step", "status", "to do", "done", "warnings", "errors"), rows)


def _show_told(report: Report, console: Console) -> None:
    rows = [(", ".join(mail["recipients"]), mail["subject"]) for mail in report.get("mails") or []]
    page = report.get("mail_page")
    _table(console, f"Mails{f' (while the demo runs: {page})' if page else ''}", ("to", "subject"), rows)
    if report.get("alerts"):
        console.print(Text(f"{len(report['alerts'])} alerts in the application"))


def _show_dead_letters(report: Report, console: Console) -> None:
    rows = [
        (letter["topic"], f"{letter['partition']}:{letter['offset']}", letter["key"], letter["reason"])
        for letter in report.get("dead_letters") or []
    ]
    _table(console, "Dead letters", ("topic", "place", "key", "reason"), rows)


def _show_books(report: Report, console: Console) -> None:
    rows = [
        (whose, check["check"], "balances" if check["balanced"] else "DIFFERS", len(check["differences"]))
        for whose, books in (report.get("books") or {}).items()
        for check in books["checks"]
    ]
    _table(console, "Books", ("whose", "check", "", "differences"), rows, rows_max=100)


def _show_time(report: Report, console: Console) -> None:
    rows = [(step["step"], f"{step['seconds']:.2f} s") for step in report["steps"]]
    rows.append(("all steps", f"{sum(step['seconds'] for step in report['steps']):.2f} s"))
    if "start_seconds" in report:
        rows.insert(0, ("start of the system", f"{report['start_seconds']:.2f} s"))
    _table(console, "Time", ("step", "took"), rows)


def _show_verdict(report: Report, console: Console) -> None:
    console.print()
    for difference in report["differences"]:
        console.print(Text(f"differs: {difference}", style="red"))
    if report["ok"]:
        console.print(Text("Everything happened as expected, and the books balance.", style="bold green"))
    elif report["balanced"]:
        console.print(Text("The books balance, but not everything happened as expected.", style="bold red"))
    else:
        console.print(Text("The books do not balance.", style="bold red"))


def _money(amount: str, currency: str) -> str:
    return f"{amount} {currency}"


def _table(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Row], *, rows_max: int = ROWS_MAX
) -> None:
    every = list(rows)
    if not every:
        return
    console.print()
    console.print(Text(title, style="bold"))
    table = Table(*columns, box=None, pad_edge=False, header_style="dim", show_header=any(columns))
    for row in every[:rows_max]:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console.print(table)
    if len(every) > rows_max:
        console.print(Text(f"… and {len(every) - rows_max} more", style="dim"))
