"""Who may number a run's documents, and for whose projects (domain.md section 5; contract.md section 2)."""

from collections.abc import Callable
from typing import Any

import pytest

from integration.billing_runs.conftest import Callers
from integration.billing_runs.driver import Connector, Runs, command, create, event, review
from shared.database.database import Database

WRITES = "billing-runs:read billing-runs:write"
APPROVES = f"{WRITES} billing-runs:approve"
ALL: dict[str, Any] = {"filter": {}}
RUN: dict[str, Any] = {"scope": {"filter": {"project_id": "P-1"}}, "invoice_date": "2026-11-30"}
SECOND = {"user_id": "u2", "email": "u2@example.com"}
MISSING = (403, "scope_missing")
SECOND_PERSON = (409, "second_person_needed")
NOT_PERMITTED = (409, "not_permitted")


async def _process(runs: Runs, times: int, run_id: str = "R-1") -> None:
    for _ in range(times):
        await runs.command(command("process", run_id))
        await runs.settle()


async def _refusals(store: Database) -> list[tuple[str, str]]:
    """Action and code of every refused command, in order."""
    rows = await store.pool.fetch(
        "select convert_from(payload, 'utf8')::jsonb as body from outbox"
        " where type = 'billing-runs.run.refused.v1' order by seq"
    )
    return [(row["body"]["action"], row["body"]["reasons"][0]["code"]) for row in rows]


async def test_processing_drafts_and_rejected_ones_needs_the_scope_to_approve(
    runs: Runs, callers: Callable[[bool], Callers]
) -> None:
    calls = callers(False)
    await runs.know(event("BE-1"), event("BE-2"))
    await runs.command(create())
    for _ in range(2):
        assert await calls.answer("POST", "/billing-runs/R-1/process", scopes=WRITES) == (202, None)
        await runs.settle()
    assert await calls.answer("POST", "/billing-runs/R-1/process", scopes=WRITES) == MISSING
    await runs.command(review("reject", select={"document_ids": ["D-BE-1"]}, reason="wrong"))
    assert await runs.state() == ("rejected", "idle")
    assert await calls.answer("POST", "/billing-runs/R-1/process", scopes=WRITES) == MISSING
    assert await runs.reviews() == {"D-BE-1": "rejected", "D-BE-2": "draft"}
    for body in ({"action": "validate", "select": ALL}, {"action": "accept", "select": ALL}):
        assert (
            await calls.answer("POST", "/billing-runs/R-1/documents/review", body, scopes=WRITES) == MISSING
        )

    assert await calls.answer("POST", "/billing-runs/R-1/process", scopes=APPROVES) == (202, None)

    await runs.settle()
    assert await runs.reviews() == {"D-BE-1": "rejected", "D-BE-2": "validated"}


@pytest.mark.parametrize("release_first", [False, True])
async def test_a_full_automatic_run_needs_the_scope_to_approve(
    runs: Runs, callers: Callable[[bool], Callers], release_first: bool
) -> None:
    calls = callers(False)
    await runs.know(event("BE-1"))
    body = RUN | {"run_id": "R-1", "process_type": "full_automatic", "release_first": release_first}

    assert await calls.answer("POST", "/billing-runs", body, scopes=WRITES) == MISSING
    assert await calls.answer("POST", "/billing-runs", body, scopes=APPROVES) == (201, None)

    assert await calls.answer("POST", "/billing-runs/R-1/disable", scopes=WRITES) == (200, None)
    for action in ("process", "close", "enable"):
        assert await calls.answer("POST", f"/billing-runs/R-1/{action}", scopes=WRITES) == MISSING
    assert await calls.answer("POST", "/billing-runs/R-1/enable", scopes=APPROVES) == (200, None)
    assert await calls.answer("POST", "/billing-runs/R-1/process", scopes=APPROVES) == (202, None)


async def test_under_four_eyes_another_user_than_the_creator_numbers(
    runs: Runs, store: Database, connector: Connector, callers: Callable[[bool], Callers]
) -> None:
    calls, guarded = callers(True), Runs(store, connector, four_eyes=True)
    await guarded.know(event("BE-1"), event("BE-2"), event("BE-3"))
    await guarded.command(create())
    await _process(guarded, 2)

    assert await calls.answer("POST", "/billing-runs/R-1/process") == SECOND_PERSON
    await guarded.command(command("process"), command("process", requested_by=None))
    validate = {"action": "validate", "select": {"document_ids": ["D-BE-1"]}}
    await guarded.command(
        review("validate", select=validate["select"]),
        review("validate", select=validate["select"], requested_by=None),
    )
    assert await _refusals(store) == [
        ("process", "second_person_needed"),
        ("process", "second_person_needed"),
        ("review", "second_person_needed"),
        ("review", "second_person_needed"),
    ]
    assert await guarded.reviews() == dict.fromkeys(("D-BE-1", "D-BE-2", "D-BE-3"), "draft")

    # A quarantine run has the creator of its origin, whoever made it.
    moved = review("quarantine", select={"document_ids": ["D-BE-3"]}, requested_by=SECOND)
    await guarded.command(moved)
    await guarded.command(command("process", "R-1.quarantine"))
    assert (await _refusals(store))[4:] == [("process", "second_person_needed")]
    await guarded.command(command("process", "R-1.quarantine", requested_by=SECOND))
    assert await calls.answer("POST", "/billing-runs/R-1/documents/review", validate, sub="u2") == (200, None)
    await guarded.settle()
    assert await calls.answer("POST", "/billing-runs/R-1/process", sub="u2") == (202, None)
    await guarded.settle()
    assert set((await guarded.reviews()).values()) == {"validated"}


async def test_a_creators_validation_is_refused_document_by_document(
    runs: Runs, store: Database, connector: Connector, callers: Callable[[bool], Callers]
) -> None:
    guarded = Runs(store, connector, four_eyes=True)
    await guarded.know(event("BE-1"))
    await guarded.command(create())
    await _process(guarded, 2)

    async with callers(True).client() as client:
        body = {"action": "validate", "select": ALL}
        answer = await client.post("/billing-runs/R-1/documents/review", json=body)
        accepted = await client.post(
            "/billing-runs/R-1/documents/review", json=body | {"action": "reject", "reason": "wrong"}
        )

    assert answer.json()["results"] == [
        {"document_id": "D-BE-1", "result": "refused", "code": "second_person_needed"}
    ]
    assert accepted.json()["results"][0]["result"] == "done"


async def test_under_four_eyes_no_full_automatic_run_is_saved_and_an_older_one_waits(
    runs: Runs, store: Database, connector: Connector, callers: Callable[[bool], Callers]
) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(process_type="full_automatic"))
    guarded = Runs(store, connector, four_eyes=True)
    body = RUN | {"run_id": "R-2", "process_type": "full_automatic"}

    async with callers(True).client() as client:
        refused = await client.post("/billing-runs", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "process_type")
    await guarded.command(create("R-3", process_type="full_automatic"))
    assert await store.pool.fetchval("select count(*) from runs") == 1
    assert await store.pool.fetchval("select count(*) from dead_letters") == 1

    await _process(guarded, 1)
    assert await guarded.state() == ("draft_invoices", "idle")
    assert await guarded.reviews() == {"D-BE-1": "draft"}


async def test_a_retry_numbers_in_the_name_and_with_the_date_of_who_asked_for_the_step(
    store: Database, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = Runs(store, connector, four_eyes=True)
    await guarded.know(event("BE-1"))
    await guarded.command(create())
    await _process(guarded, 2)
    await guarded.command(command("process", requested_by=SECOND, invoice_date="2026-12-02"))

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("billing_runs.handlers.steps.validation.advance", broken)
        await guarded.work()
    assert await guarded.state() == ("validating", "failed")
    assert await guarded.retry()

    await guarded.settle()
    assert await guarded.reviews() == {"D-BE-1": "validated"}
    assert str(await store.pool.fetchval("select date from run_documents")) == "2026-12-02"


@pytest.mark.parametrize("steps", [2, 3], ids=["drafts", "validated"])
async def test_files_that_are_made_again_number_nothing(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create())
    await _process(runs, steps)
    before = await runs.state(), await runs.reviews()
    await runs.command(command("render", format="pdf"))

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("billing_runs.handlers.steps.rendering.advance", broken)
        await runs.work()

    assert await runs.retry()
    await runs.settle()

    assert (await runs.state(), await runs.reviews()) == before
    assert await runs.database.pool.fetchval("select pdf_file from run_documents") == "ready"


@pytest.mark.parametrize(
    ("method", "action", "body"),
    [
        ("POST", "/process", None),
        ("POST", "/disable", None),
        ("POST", "/enable", None),
        ("POST", "/close", None),
        ("POST", "/cancel", {"billing_events": "cancel"}),
        ("POST", "/render", {"format": "xml"}),
        ("PATCH", "", {"description": "mine"}),
    ],
)
@pytest.mark.parametrize("steps", [0, 2], ids=["new", "drafts"])
async def test_a_token_of_other_projects_does_nothing_to_a_run(
    runs: Runs, callers: Callable[[bool], Callers], method: str, action: str, body: Any, steps: int
) -> None:
    await runs.know(event("BE-1"), event("BE-2", project_id="P-2"))
    await runs.command(create(scope={"filter": {"currency": "GBP"}}))
    await _process(runs, steps)
    before = await runs.state()

    answer = await callers(False).answer(method, f"/billing-runs/R-1{action}", body, projects=["P-1"])

    assert answer == NOT_PERMITTED
    assert await runs.state() == before


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"filter": {"project_id": "P-1"}}, (201, None)),
        ({"filter": {"account_id": "A-1"}}, (201, None)),
        ({"filter": {"currency": "GBP"}}, NOT_PERMITTED),
        ({"filter": {"project_id": "P-2"}}, NOT_PERMITTED),
        ({"batch_ids": ["B-1"]}, (201, None)),
        ({"batch_ids": ["B-1", "B-2"]}, NOT_PERMITTED),
        ({"billing_event_ids": ["BE-1"]}, (201, None)),
        ({"billing_event_ids": ["BE-1", "BE-2"]}, NOT_PERMITTED),
        ({"billing_event_ids": ["BE-1", "BE-unknown"]}, NOT_PERMITTED),
    ],
)
async def test_a_token_of_some_projects_makes_runs_over_these_alone(
    runs: Runs, callers: Callable[[bool], Callers], scope: Any, expected: tuple[int, str | None]
) -> None:
    await runs.know(
        event("BE-1", batch_id="B-1"),
        event("BE-2", project_id="P-2", account_id="A-2", batch_id="B-2"),
        event("BE-3", project_id="P-3", stage="closed"),
    )
    body = RUN | {"run_id": "R-1", "scope": scope}

    assert await callers(False).answer("POST", "/billing-runs", body, projects=["P-1"]) == expected


async def test_what_comes_after_a_token_was_asked_is_left_out_also_by_a_retry(
    runs: Runs, callers: Callable[[bool], Callers], monkeypatch: pytest.MonkeyPatch
) -> None:
    await runs.know(event("BE-1"))
    await runs.command(create(scope={"filter": {"currency": "GBP"}}))
    calls = callers(False)
    assert await calls.answer("POST", "/billing-runs/R-1/process", projects=["P-1"]) == (202, None)
    await runs.know(event("BE-2", project_id="P-2"))

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("billing_runs.handlers.steps.lines.select_page", broken)
        await runs.work()
    assert await runs.retry()
    await runs.settle()

    assert await runs.state() == ("invoice_lines_created", "idle")
    assert await runs.fates() == {"BE-1": "draft", "BE-2": "left_out"}
    async with calls.client(projects=["P-1"]) as client:
        events = (await client.get("/billing-runs/R-1/billing-events?state=left_out")).json()["items"]
        assert [each["reasons"][0]["code"] for each in events] == ["not_permitted"]
        assert (await client.post("/billing-runs/R-1/process")).status_code == 202


async def test_a_review_changes_documents_of_permitted_projects_alone(
    runs: Runs, callers: Callable[[bool], Callers]
) -> None:
    await runs.know(event("BE-1"), event("BE-2", project_id="P-2"))
    await runs.command(create(scope={"filter": {"currency": "GBP"}}))
    await _process(runs, 2)

    async with callers(False).client(projects=["P-1"]) as client:
        answer = await client.post(
            "/billing-runs/R-1/documents/review", json={"action": "validate", "select": ALL}
        )

    assert {each["document_id"]: (each["result"], each["code"]) for each in answer.json()["results"]} == {
        "D-BE-1": ("queued", None),
        "D-BE-2": ("refused", "not_permitted"),
    }
    await runs.settle()
    assert await runs.reviews() == {"D-BE-1": "validated", "D-BE-2": "draft"}
