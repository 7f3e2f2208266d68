"""`sluice run create`: a billing run from options, or from a file with the body of POST /billing-runs."""

import json
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from shared.contracts.command_fields import Grouping, OnRejected, OnSuspect, ProcessType
from sluice.client import DataOption, UserOption
from sluice.commands.run_calls import post
from sluice.console import EXIT_USAGE, JsonOption, fail


class Flag(StrEnum):
    """Settings of a run that are on or off."""

    RELEASE_FIRST = "release_first"
    INCREMENTAL = "incremental"
    SKIP_VALIDATION_RULES = "skip_validation_rules"
    RECOMPUTE_DATES = "recompute_dates_at_validation"


FileArgument = Annotated[
    Path | None,
    typer.Argument(
        help="A JSON file with the body of POST /billing-runs, instead of options.",
        exists=True,
        dir_okay=False,
    ),
]
RunIdOption = Annotated[str | None, typer.Option("--run-id", help="The run's id; without it one is made.")]
EventOption = Annotated[list[str] | None, typer.Option("--event", help="A billing event; may be repeated.")]
BatchOption = Annotated[list[str] | None, typer.Option("--batch", help="A batch; may be repeated.")]
ProjectOption = Annotated[str | None, typer.Option("--project", help="Events of this project.")]
AccountOption = Annotated[str | None, typer.Option("--account", help="Events of this account.")]
CurrencyOption = Annotated[str | None, typer.Option("--currency", help="Events in this currency.")]
CycleOption = Annotated[str | None, typer.Option("--cycle", help="A cycle run over this billing cycle.")]
DateFromOption = Annotated[
    datetime | None, typer.Option("--date-from", formats=["%Y-%m-%d"], help="The first day of events.")
]
DateToOption = Annotated[
    datetime | None,
    typer.Option("--date-to", formats=["%Y-%m-%d"], help="The last day of events; not for a cycle."),
]
LastTransactionDateOption = Annotated[
    datetime | None,
    typer.Option(
        "--last-transaction-date", formats=["%Y-%m-%d"], help="With --cycle: the first day left out."
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="Not this event of a batch or a filter; may be repeated."),
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        help="Of a batch or a filter only what was there and unchanged in amount at this time (RFC 3339).",
    ),
]
InvoiceDateOption = Annotated[datetime | None, typer.Option("--invoice-date", formats=["%Y-%m-%d"])]
CollectionDateOption = Annotated[datetime | None, typer.Option("--collection-date", formats=["%Y-%m-%d"])]
ThresholdOption = Annotated[
    str | None, typer.Option("--threshold", help='No invoice below it: "10.00 GBP".', metavar="AMOUNT CUR")
]
FlagOption = Annotated[
    list[Flag] | None,
    typer.Option("--with", help="What else it does; may be repeated."),
]
DescriptionOption = Annotated[str | None, typer.Option("--description")]


_THRESHOLD_WORDS: Final = 2
_BESIDE_A_FILE: Final = frozenset({"file", "data", "user", "as_json"})


def create(
    context: typer.Context,
    *,
    file: FileArgument = None,
    run_id: RunIdOption = None,
    event: EventOption = None,
    batch: BatchOption = None,
    project: ProjectOption = None,
    account: AccountOption = None,
    currency: CurrencyOption = None,
    cycle: CycleOption = None,
    date_from: DateFromOption = None,
    date_to: DateToOption = None,
    last_transaction_date: LastTransactionDateOption = None,
    exclude: ExcludeOption = None,
    as_of: AsOfOption = None,
    process_type: Annotated[ProcessType, typer.Option("--process-type")] = "manual",
    grouping: Annotated[Grouping, typer.Option("--grouping")] = "billing_event",
    invoice_date: InvoiceDateOption = None,
    collection_date: CollectionDateOption = None,
    on_rejected: Annotated[OnRejected, typer.Option("--on-rejected")] = "manual_action",
    on_suspect: Annotated[OnSuspect, typer.Option("--on-suspect")] = "automatic_validation",
    flags: FlagOption = None,
    threshold: ThresholdOption = None,
    description: DescriptionOption = None,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Create a run: say what it is to take and how, or give a file that does."""
    if file is not None:
        _require_nothing_but_the_file(context)
        post("/billing-runs", body_of_file(file), data=data, user=user, as_json=as_json)
        return
    scope = scope_of(
        events=event,
        batches=batch,
        fields={"project_id": project, "account_id": account, "currency": currency},
        cycle=cycle,
        date_from=date_from,
        date_to=date_to,
        last_transaction_date=last_transaction_date,
    )
    scope |= {name: value for name, value in {"exclude_ids": exclude, "as_of": as_of}.items() if value}
    body = {
        "run_id": run_id,
        "kind": "exceptional" if cycle is None else "cycle",
        "process_type": process_type,
        "scope": scope,
        "invoice_date": day(invoice_date),
        "collection_date": day(collection_date),
        "grouping": grouping,
        "on_rejected": on_rejected,
        "on_suspect": on_suspect,
        "threshold": threshold_of(threshold),
        "description": description,
        **{flag.value: True for flag in flags or ()},
    }
    post("/billing-runs", body, data=data, user=user, as_json=as_json)


def _require_nothing_but_the_file(context: typer.Context) -> None:
    """End the command if options would be ignored, since a file says all of the run."""
    given = [
        each.opts[0]
        for each in context.command.params
        if each.name is not None and each.name not in _BESIDE_A_FILE and _is_said(context, each.name)
    ]
    if given:
        fail(f"a file says all of the run: leave out {', '.join(sorted(given))}", EXIT_USAGE)


def _is_said(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def body_of_file(file: Path) -> dict[str, Any]:
    """The body that a file holds; ends the command if it is no JSON object."""
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        json.dumps(body, allow_nan=False)
    except RecursionError:
        fail(f"{file} is nested too deep", EXIT_USAGE)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except ValueError as error:
        fail(f"{file} is not JSON: {error}", EXIT_USAGE)
    if not isinstance(body, dict):
        fail(f"{file} holds no JSON object", EXIT_USAGE)
    return body


def scope_of(
    *,
    events: list[str] | None,
    batches: list[str] | None,
    fields: dict[str, str | None],
    cycle: str | None,
    date_from: datetime | None,
    date_to: datetime | None,
    last_transaction_date: datetime | None,
) -> dict[str, Any]:
    """What the run takes, said in exactly one way; ends the command otherwise."""
    if cycle is not None:
        if events or batches or date_to or any(fields.values()):
            fail("a cycle takes --date-from and --last-transaction-date, and nothing else", EXIT_USAGE)
        if date_from is None or last_transaction_date is None:
            fail("--cycle needs --date-from and --last-transaction-date", EXIT_USAGE)
        return {
            "billing_cycle_id": cycle,
            "date_from": day(date_from),
            "last_transaction_date": day(last_transaction_date),
        }
    if last_transaction_date is not None:
        fail("--last-transaction-date belongs to --cycle; a filter has --date-to", EXIT_USAGE)
    chosen = {**fields, "date_from": day(date_from), "date_to": day(date_to)}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if sum([bool(events), bool(batches), bool(chosen)]) != 1:
        fail("say what the run takes in one way: --event, --batch, a filter, --cycle, or a file", EXIT_USAGE)
    if events:
        return {"billing_event_ids": events}
    return {"batch_ids": batches} if batches else {"filter": chosen}


def threshold_of(text: str | None) -> dict[str, str] | None:
    """`10.00 GBP` as the contract has it; ends the command if it is not written so."""
    if text is None:
        return None
    words = text.split()
    if len(words) != _THRESHOLD_WORDS:
        fail('a threshold is an amount and a currency: --threshold "10.00 GBP"', EXIT_USAGE)
    return {"amount": words[0], "currency": words[1].upper()}


def day(given: datetime | None) -> str | None:
    """A day as the contract writes it."""
    return given.date().isoformat() if given is not None else None
