"""Commands and the requests that share their fields: defaults, selections, bounds."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from contract.samples import Body, sample
from shared.contracts.commands import (
    ClaimBillingEvents,
    CreateRun,
    FillBillingEvent,
    ReleaseBillingEvent,
    RevertBillingEvent,
    ReviewDocuments,
    StartProcessRun,
    StartReleaseJob,
    UnclaimBillingEvents,
    WithdrawBillingEvents,
)
from shared.contracts.requests import (
    BillingRunRequest,
    ProcessRunRequest,
    ReleaseJobRequest,
    ReviewRequest,
)

JOB: Body = {"job_id": "J-1"}
PROCESS_RUN: Body = {"process_run_id": "PR-1"}
CYCLE: Body = {
    "billing_cycle_id": "MONTHLY",
    "date_from": "2026-11-01",
    "last_transaction_date": "2026-12-01",
}


def _wrong_fields(model: type[BaseModel], body: Body) -> list[tuple[int | str, ...]]:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    return [error["loc"] for error in refused.value.errors()]


def test_defaults() -> None:
    assert ReleaseBillingEvent(billing_event_id="BE-1").on_cap == "refuse"
    assert RevertBillingEvent(billing_event_id="BE-1").cascade is False
    job = StartReleaseJob.model_validate({**JOB, "select": {"batch_ids": ["BB-1"]}})
    assert (job.mode, job.and_invoice, job.requested_by) == ("background", False, None)
    run = StartProcessRun.model_validate({**PROCESS_RUN, "select": {"eligible": True}})
    assert (run.validate_documents, run.grouping, run.billing_run_id) == (True, "billing_event", None)
    claim = ClaimBillingEvents.model_validate({"billing_run_id": "R-1", "billing_event_ids": ["BE-1"]})
    assert (claim.part, claim.parts) == (1, 1)


def test_validate_false_leaves_drafts() -> None:
    body = {**PROCESS_RUN, "select": {"eligible": True}, "validate": False}
    assert StartProcessRun.model_validate(body).validate_documents is False


@pytest.mark.parametrize(
    "select",
    [
        {"billing_event_ids": ["BE-1", "BE-1"]},
        {"batch_ids": ["BB-1"]},
        {"filter": {}},
        {"filter": {"stage": "awaiting_release"}},
        {
            "filter": {
                "project_id": "P-1",
                "currency": "GBP",
                "date_from": "2026-11-01",
                "date_to": "9999-12-31",
            }
        },
    ],
)
def test_a_selection_is_one_of_three(select: Body) -> None:
    for model, body in ((StartReleaseJob, JOB), (StartProcessRun, PROCESS_RUN)):
        read = model.model_validate({**body, "select": select})
        assert read.model_dump(mode="json", exclude_unset=True)["select"] == select
    assert ReleaseJobRequest.model_validate({"select": select}).select.ways_given() == tuple(select)


@pytest.mark.parametrize(
    ("select", "wrong"),
    [
        ({}, ()),
        ({"billing_event_ids": None}, ()),
        ({"billing_event_ids": ["BE-1"], "batch_ids": ["BB-1"]}, ()),
        ({"billing_event_ids": ["BE-1"], "filter": {}}, ()),
        ({"billing_event_ids": []}, ("billing_event_ids",)),
        ({"batch_ids": []}, ("batch_ids",)),
        ({"billing_event_ids": "BE-1"}, ("billing_event_ids",)),
        ({"billing_event_ids": ["BE 1"]}, ("billing_event_ids", 0)),
        ({"filter": {"stage": "lost"}}, ("filter", "stage")),
        ({"filter": {"currency": "XXX"}}, ("filter", "currency")),
        ({"filter": {"date_from": "1.11.2026"}}, ("filter", "date_from")),
        ({"eligible": False}, ("eligible",)),
        ({"all": True}, ("all",)),
    ],
)
def test_another_selection_is_refused(select: Body, wrong: tuple[str | int, ...]) -> None:
    for model, body in (
        (StartReleaseJob, JOB),
        (StartProcessRun, PROCESS_RUN),
        (ReleaseJobRequest, {}),
        (ProcessRunRequest, {}),
    ):
        assert ("select", *wrong) in _wrong_fields(model, {**body, "select": select})


def test_only_a_process_run_selects_what_is_eligible() -> None:
    assert StartProcessRun.model_validate({**PROCESS_RUN, "select": {"eligible": True}}).select.eligible
    assert ("select", "eligible") in _wrong_fields(StartReleaseJob, {**JOB, "select": {"eligible": True}})


def test_a_message_lists_a_thousand_ids_a_request_more() -> None:
    ids = [f"BE-{number}" for number in range(1_001)]
    for model, body, path in (
        (StartReleaseJob, {**JOB, "select": {"billing_event_ids": ids}}, ("select", "billing_event_ids")),
        (StartReleaseJob, {**JOB, "select": {"batch_ids": ids}}, ("select", "batch_ids")),
        (ClaimBillingEvents, {"billing_run_id": "R-1", "billing_event_ids": ids}, ("billing_event_ids",)),
        (WithdrawBillingEvents, {"billing_event_ids": ids}, ("billing_event_ids",)),
        (
            ReviewDocuments,
            {"run_id": "R-1", "action": "accept", "select": {"document_ids": ids}},
            ("select", "document_ids"),
        ),
        (CreateRun, {"run_id": "R-1", "scope": {"billing_event_ids": ids}}, ("scope", "billing_event_ids")),
    ):
        assert _wrong_fields(model, body) == [path]
    assert ReleaseJobRequest.model_validate({"select": {"billing_event_ids": ids}})
    assert ProcessRunRequest.model_validate({"select": {"batch_ids": ids}})
    assert BillingRunRequest.model_validate({"scope": {"billing_event_ids": ids}})
    assert ReviewRequest.model_validate({"action": "accept", "select": {"document_ids": ids}})


def test_part_is_one_of_parts() -> None:
    body = sample("accounting.billing-events.unclaim.v1")
    assert UnclaimBillingEvents.model_validate({**body, "part": 3, "parts": 3}).part == 3
    assert _wrong_fields(UnclaimBillingEvents, {**body, "part": 4, "parts": 3}) == [("part",)]
    assert _wrong_fields(UnclaimBillingEvents, {**body, "part": 0}) == [("part",)]


def test_a_fill_names_each_item_once() -> None:
    item = {"item_id": "I-1", "services_product": "Consulting"}
    body: Body = {"billing_event_id": "BE-1", "items": [item]}
    assert FillBillingEvent.model_validate(body).items[0].services_product == "Consulting"
    assert _wrong_fields(FillBillingEvent, {**body, "items": [item, item]}) == [("items",)]
    empty = [{**item, "services_product": ""}]
    assert _wrong_fields(FillBillingEvent, {**body, "items": empty}) == [("items", 0, "services_product")]


def test_a_threshold_is_an_amount_of_its_currency() -> None:
    body: Body = {**PROCESS_RUN, "select": {"eligible": True}}
    for threshold, wrong in (
        ({"amount": "10.001", "currency": "GBP"}, "amount"),
        ({"amount": "-1", "currency": "GBP"}, "amount"),
        ({"amount": "1", "currency": "XXX"}, "currency"),
    ):
        assert _wrong_fields(StartProcessRun, {**body, "threshold": threshold}) == [("threshold", wrong)]


def test_a_runs_kind_goes_with_its_scope() -> None:
    exceptional = CreateRun.model_validate({"run_id": "R-1", "scope": {"batch_ids": ["BB-1"]}})
    assert (exceptional.kind, exceptional.process_type, exceptional.on_suspect) == (
        "exceptional",
        "manual",
        "automatic_validation",
    )
    assert CreateRun.model_validate({"run_id": "R-1", "kind": "cycle", "scope": CYCLE}).scope.billing_cycle_id
    assert _wrong_fields(CreateRun, {"run_id": "R-1", "scope": CYCLE}) == [("kind",)]
    mixed: Body = {"run_id": "R-1", "kind": "cycle", "scope": {"batch_ids": ["BB-1"]}}
    assert _wrong_fields(CreateRun, mixed) == [("kind",)]


def test_a_runs_scope_has_no_stage() -> None:
    """The events that it releases first would leave its scope."""
    body: Body = {"run_id": "R-1", "scope": {"filter": {"stage": "awaiting_release"}}}
    assert _wrong_fields(CreateRun, body) == [("scope", "filter", "stage")]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"date_from": None}, ("date_from",)),
        ({"last_transaction_date": None}, ("last_transaction_date",)),
        ({"last_transaction_date": "2026-11-01"}, ("last_transaction_date",)),
        ({"batch_ids": ["BB-1"]}, ()),
        ({"billing_cycle_id": None}, ()),
    ],
)
def test_a_cycle_has_its_window(changes: dict[str, Any], wrong: tuple[str, ...]) -> None:
    body: Body = {"run_id": "R-1", "kind": "cycle", "scope": {**CYCLE, **changes}}
    assert _wrong_fields(CreateRun, body) == [("scope", *wrong)]


def test_the_run_id_of_a_request_may_be_given_or_not() -> None:
    body: Body = {"kind": "cycle", "scope": CYCLE}
    assert BillingRunRequest.model_validate({**body, "run_id": None}).run_id is None
    assert BillingRunRequest.model_validate({**body, "run_id": "R-1"}).run_id == "R-1"
    assert _wrong_fields(CreateRun, {**body, "run_id": None}) == [("run_id",)]


def test_a_review_selects_documents() -> None:
    body: Body = {"run_id": "R-1", "action": "accept"}
    matching: Body = {"review": "suspect", "kind": "sales_invoice", "amount_min": "10.00", "rule": "LIMIT"}
    assert ReviewDocuments.model_validate({**body, "select": {"filter": matching}}).select.filter
    others: list[Body] = [
        {},
        {"document_ids": []},
        {"billing_event_ids": ["BE-1"]},
        {"document_ids": ["D-1"], "filter": {}},
    ]
    for select in others:
        assert _wrong_fields(ReviewDocuments, {**body, "select": select})


def test_a_cancel_says_what_becomes_of_the_events() -> None:
    body: Body = {"run_id": "R-1", "action": "cancel", "select": {"document_ids": ["D-1"]}}
    assert _wrong_fields(ReviewDocuments, body) == [("billing_events",)]
    assert ReviewDocuments.model_validate({**body, "billing_events": "reopen"}).billing_events == "reopen"


def test_a_rejection_says_why() -> None:
    body: Body = {"run_id": "R-1", "action": "reject", "select": {"document_ids": ["D-1"]}}
    for unsaid in (body, {**body, "reason": None}, {**body, "reason": " "}):
        assert _wrong_fields(ReviewDocuments, unsaid) == [("reason",)]
    assert ReviewDocuments.model_validate({**body, "reason": "wrong address"}).reason == "wrong address"
