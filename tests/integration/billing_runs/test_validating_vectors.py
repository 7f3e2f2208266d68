"""What the step `validating` makes of one document: the rows of tests/vectors/billing_runs.json (domain.md 5)."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from integration.billing_runs.driver import Runs, command, create, event, review

Row = dict[str, Any]

ROWS: list[Row] = json.loads((Path(__file__).parents[2] / "vectors" / "billing_runs.json").read_text())[
    "validating"
]
DOCUMENT, OTHER = "D-BE-1", "D-BE-2"
SELECT = {"document_ids": [DOCUMENT]}


async def _rule(client: httpx.AsyncClient, verdict: str) -> None:
    """Let the rule say this of the document from now on, and nothing of the other one."""
    outcome = "rejected" if verdict == "pass" else verdict
    mode = {"expression": f"total_net == {0 if verdict == 'pass' else 100}", "mode": "rejection"}
    answer = await client.put("/rules/R", json={"fail_status": outcome, **mode})
    assert answer.status_code == 200, answer.text


async def _bring_to(runs: Runs, client: httpx.AsyncClient, row: Row) -> None:
    """Drafts of 100 and 50, the first reviewed as the row has it; the other one is good, so that the run goes on."""
    by_rule = "rejected" if row["rejected_by"] == "rule" else "pass"
    await _rule(client, "suspect" if row["review"] == "suspect" else by_rule)
    await runs.know(event("BE-1", "100.00"), event("BE-2", "50.00"))
    await runs.command(create())
    for _ in range(2):
        await runs.command(command("process"))
        await runs.settle()
    if row["rejected_by"] == "user":
        await runs.command(review("reject", select=SELECT, reason="not ordered"))
    elif row["review"] == "validated":
        await runs.command(review("validate", select=SELECT))
    elif row["review"] == "cancelled":
        await runs.command(review("cancel", select=SELECT, billing_events="reopen"))
    await runs.settle()
    assert (await runs.reviews())[DOCUMENT] == row["review"]


def test_no_row_is_lost() -> None:
    assert len(ROWS) == 8


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row['review']}-{row['rejected_by']}-{row['rules_now']}"
)
async def test_what_validating_makes_of_one_document(runs: Runs, client: httpx.AsyncClient, row: Row) -> None:
    await _bring_to(runs, client, row)
    await _rule(client, row["rules_now"])

    await runs.command(command("process"))
    await runs.settle()

    expected = row["expect"]
    assert await runs.reviews() == {DOCUMENT: expected["review"], OTHER: "validated"}
    rejected_by, findings = await runs.database.pool.fetchrow(  # type: ignore[misc]  # there is such a row
        "select rejected_by, findings from run_documents where document_id = $1", DOCUMENT
    )
    assert rejected_by == expected.get("rejected_by")
    if rejected_by == "user":
        assert findings == [], "the rules are run again for what a rule has rejected, and for nothing else"
    assert await runs.state() == ("rejected" if rejected_by else "validated", "idle")
    await runs.check_books()
