"""`sluice run documents|review`: the documents of a billing run, and what people decide of them."""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from shared.contracts.command_fields import ClaimEnd, ReviewAction
from shared.contracts.selections import Review
from sluice.client import CallError, DataOption, UserOption, connect
from sluice.console import EXIT_FAILED, EXIT_USAGE, JsonOption, answer_json, answer_table, fail, say
from sluice.state import StateError

RunArgument = Annotated[str, typer.Argument(help="The run.")]
DocumentOption = Annotated[
    list[str] | None, typer.Option("--document", help="A document; may be given again.")
]
AccountOption = Annotated[str | None, typer.Option("--account", help="Documents of this account.")]
CurrencyOption = Annotated[str | None, typer.Option("--currency", help="Documents in this currency.")]
RuleOption = Annotated[str | None, typer.Option("--rule", help="Documents with a finding of this rule.")]
DateFromOption = Annotated[datetime | None, typer.Option("--date-from", formats=["%Y-%m-%d"])]
DateToOption = Annotated[datetime | None, typer.Option("--date-to", formats=["%Y-%m-%d"])]


ReviewOption = Annotated[Review | None, typer.Option("--review", help="Documents whose review says this.")]


def documents(
    *,
    run_id: RunArgument,
    review_is: ReviewOption = None,
    account: AccountOption = None,
    currency: CurrencyOption = None,
    rule: RuleOption = None,
    date_from: DateFromOption = None,
    date_to: DateToOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most this many.")] = 50,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """List documents that are in the run now."""
    query = _filter(
        review_is=review_is,
        account=account,
        currency=currency,
        rule=rule,
        date_from=date_from,
        date_to=date_to,
    )
    try:
        with connect("billing-runs", data, user) as client:
            found = client.items(f"/billing-runs/{run_id}/documents", query, items_max=limit)
    except (CallError, StateError) as error:
        fail(str(error))
    if as_json:
        answer_json({"items": found})
        return
    rows = [{**each, "rules": ", ".join(finding["rule"] for finding in each["findings"])} for each in found]
    answer_table(["document_id", "kind", "review", "number", "total_net", "currency", "rules"], rows)


def review(
    *,
    run_id: RunArgument,
    action: Annotated[ReviewAction, typer.Argument(help="What is decided.")],
    document: DocumentOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All documents of the run.")] = False,
    review_is: ReviewOption = None,
    account: AccountOption = None,
    currency: CurrencyOption = None,
    rule: RuleOption = None,
    date_from: DateFromOption = None,
    date_to: DateToOption = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for `reject`.")] = None,
    billing_events: Annotated[
        ClaimEnd | None, typer.Option("--billing-events", help="What becomes of events, for `cancel`.")
    ] = None,
    data: DataOption = None,
    user: UserOption = "operator",
    as_json: JsonOption = False,
) -> None:
    """Decide on documents of the run: on some, or on all that fit a filter. Exit code 1 if any was refused."""
    if (action == "reject") != (reason is not None):
        fail("`reject`, and nothing else, is given a reason with --reason", EXIT_USAGE)
    if (action == "cancel") != (billing_events is not None):
        fail("`cancel`, and nothing else, is told --billing-events", EXIT_USAGE)
    chosen = _filter(
        review_is=review_is,
        account=account,
        currency=currency,
        rule=rule,
        date_from=date_from,
        date_to=date_to,
    )
    if sum([bool(document), bool(chosen), everything]) != 1:
        fail("say which documents in one way: with --document, with a filter, or with --all", EXIT_USAGE)
    body: dict[str, Any] = {
        "action": action,
        "select": {"document_ids": document} if document else {"filter": chosen},
    }
    if reason is not None:
        body["reason"] = reason
    if billing_events is not None:
        body["billing_events"] = billing_events
    results = _decide(run_id, body, data, user)
    if as_json:
        answer_json({"results": results})
    else:
        _outline(results)
    if any(each["code"] is not None for each in results):
        raise typer.Exit(EXIT_FAILED)


def _decide(run_id: str, body: dict[str, Any], data: Path | None, user: str) -> list[dict[str, Any]]:
    try:
        with connect("billing-runs", data, user) as client:
            results: list[dict[str, Any]] = client.post(f"/billing-runs/{run_id}/documents/review", body)[
                "results"
            ]
    except (CallError, StateError) as error:
        fail(str(error))
    return results


def _outline(results: list[dict[str, Any]]) -> None:
    counted = Counter(each["result"] for each in results)
    say(", ".join(f"{count} {result}" for result, count in sorted(counted.items())) or "no document fits")
    refused = [each for each in results if each["code"] is not None]
    if refused:
        answer_table(["document_id", "code"], refused)


def _filter(
    *,
    review_is: Review | None,
    account: str | None,
    currency: str | None,
    rule: str | None,
    date_from: datetime | None,
    date_to: datetime | None,
) -> dict[str, Any]:
    given = {
        "review": review_is,
        "account_id": account,
        "currency": currency,
        "rule": rule,
        "date_from": date_from and date_from.date().isoformat(),
        "date_to": date_to and date_to.date().isoformat(),
    }
    return {name: value for name, value in given.items() if value is not None}
