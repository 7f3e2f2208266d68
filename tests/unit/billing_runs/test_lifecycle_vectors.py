"""The life of a billing run as data: every row of tests/vectors/billing_runs.json (domain.md section 5).

The rows of `validating`, which a step decides by what is stored, are in tests/integration/billing_runs.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from billing_runs.domain.lifecycle import (
    CREATED,
    CREATED_BY_QUARANTINE,
    Action,
    ExecutionState,
    Remainder,
    RunState,
    Status,
    act,
    available_actions,
    derived,
    goes_on_to,
    refusal_of,
    step_done,
    step_failed,
    step_started,
)
from billing_runs.domain.refusals import RefusalCode
from billing_runs.domain.review import (
    DocumentCounts,
    DocumentReview,
    RejectedBy,
    Review,
    ReviewAction,
    available_review_actions,
    decide_review,
    rechecked,
)
from billing_runs.domain.rules import FailStatus, Finding
from billing_runs.domain.settings import OnSuspect, ProcessType

Row = dict[str, Any]

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "billing_runs.json").read_text())


def _name(row: Row) -> str:
    words = (
        row[key] for key in ("status", "review", "execution", "disabled", "action", "outcome") if key in row
    )
    return "-".join(str(word) for word in words)


def _state(row: Row) -> RunState:
    return RunState(Status(row["status"]), ExecutionState(row["execution"]), row.get("disabled", False))


def _rows(name: str, count: int) -> list[Row]:
    rows: list[Row] = VECTORS[name]
    assert len(rows) == count, f"the vector file has lost rows of {name}"
    return rows


@pytest.mark.parametrize("row", _rows("rows", 48), ids=_name)
def test_actions_that_are_available_and_their_destinations(row: Row) -> None:
    offered = [(each.action.value, each.leads_to.value) for each in available_actions(_state(row), {})]

    assert offered == [(each["action"], each["leads_to"]) for each in row["available_actions"]]


@pytest.mark.parametrize("row", _rows("rows", 48), ids=_name)
def test_actions_that_are_refused_and_their_codes(row: Row) -> None:
    codes = {action.value: refusal_of(_state(row), action) for action in Action}

    assert {action: code.value for action, code in codes.items() if code is not None} == row["refused"]


@pytest.mark.parametrize("row", _rows("after", 126), ids=_name)
def test_run_right_after_an_accepted_action(row: Row) -> None:
    assert act(_state(row), Action(row["action"])) == _state(row["expect"])


@pytest.mark.parametrize("row", _rows("created", 2), ids=lambda row: str(row["by"]))
def test_how_runs_begin(row: Row) -> None:
    begun = {"create": CREATED, "quarantine": CREATED_BY_QUARANTINE}[row["by"]]

    assert begun == _state(row["expect"])


@pytest.mark.parametrize("row", _rows("steps", 31), ids=_name)
def test_what_a_step_makes_of_the_run(row: Row) -> None:
    status = Status(row["status"])
    running = RunState(status, ExecutionState.RUNNING)
    match row["outcome"]:
        case "started":
            after = step_started(RunState(status, ExecutionState.QUEUED))
        case "failed":
            after = step_failed(running)
        case _:
            condition = row["condition"]
            documents = DocumentCounts(**condition.get("documents", {}))
            remainder = Remainder(
                failed=condition.get("failed", 0),
                pending=condition.get("pending", 0),
                release_failed=condition.get("release_failed", False),
            )
            after = step_done(
                running,
                incremental=condition.get("incremental", False),
                documents=documents,
                remainder=remainder,
            )

    assert after == _state(row["expect"])


@pytest.mark.parametrize("row", _rows("derived", 13), ids=_name)
def test_status_that_the_documents_give(row: Row) -> None:
    state = RunState(Status(row["status"]), ExecutionState.IDLE)

    assert derived(state, DocumentCounts(**row["documents"])).status == row["expect"]


@pytest.mark.parametrize("row", _rows("goes_on", 48), ids=lambda row: f"{_name(row)}-{row['process_type']}")
def test_step_that_a_run_starts_by_itself(row: Row) -> None:
    asked = row.get("on_suspect", "any")
    for on_suspect in OnSuspect if asked == "any" else [OnSuspect(asked)]:
        goes_on = goes_on_to(
            RunState(Status(row["status"]), ExecutionState.IDLE, row["disabled"]),
            process_type=ProcessType(row["process_type"]),
            on_suspect=on_suspect,
            drafts=1,
            suspects=row.get("suspects", 0),
            refused_drafts=0,
        )
        assert goes_on == row["goes_on_to"]


def _document(row: Row) -> DocumentReview:
    rejected_by = RejectedBy(row["rejected_by"]) if row["rejected_by"] else None
    reason = "as it was rejected" if rejected_by else None
    return DocumentReview(Review(row["review"]), rejected_by, reason)


FINDINGS = {
    "pass": (),
    "suspect": (Finding("R", FailStatus.SUSPECT, "odd"),),
    "rejected": (Finding("R", FailStatus.REJECTED, "wrong"),),
}


REVIEWS = [
    pytest.param(
        row, action, expect, id=f"{_name(row)}-{row['rejected_by']}-{row['quarantine_run']}-{action}"
    )
    for row in _rows("review", 20)
    for action, expect in row["actions"].items()
]


@pytest.mark.parametrize("row, action, expect", REVIEWS)
def test_what_a_review_action_makes_of_one_document(row: Row, action: str, expect: Row) -> None:
    decision = decide_review(
        _document(row),
        ReviewAction(action),
        disabled=row["disabled"],
        quarantine_run=row["quarantine_run"],
        reason="not ordered",
    )

    if "code" in expect:
        assert decision == expect["code"]
        return
    assert not isinstance(decision, RefusalCode)
    assert decision.moved == expect.get("moved", False)
    if action == "recheck":
        by_the_rules = expect["review"] == "by the rules"
        assert decision.runs_rules
        for outcome, review in {"pass": "draft", "suspect": "suspect", "rejected": "rejected"}.items():
            after = rechecked(decision.becomes, FINDINGS[outcome])
            assert after.review == (review if by_the_rules else expect["review"])
            assert by_the_rules or after.rejected_by == expect["rejected_by"]
        return
    assert decision.becomes.review == expect["review"]
    assert decision.becomes.rejected_by == expect.get("rejected_by")


@pytest.mark.parametrize("row", _rows("review", 20), ids=lambda row: f"{_name(row)}-{row['rejected_by']}")
def test_review_actions_that_are_offered(row: Row) -> None:
    offered = available_review_actions(
        _document(row), disabled=row["disabled"], quarantine_run=row["quarantine_run"]
    )

    assert {each.action.value: each.leads_to or "by the rules" for each in offered} == {
        action: expect["review"] for action, expect in row["actions"].items() if "code" not in expect
    }
