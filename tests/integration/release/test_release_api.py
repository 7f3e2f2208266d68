"""The calls that release, run jobs, show caps and reconcile (contract.md section 2)."""

from typing import Any

import pytest

from integration.release.driver import Record, generated, item, project
from integration.release.http import Api
from integration.release.releasing import capped_project, worth
from shared.database.database import Database
from unit.shared.http.sample import Issuer


async def known(api: Api, *records: Record) -> None:
    await api.driver.know(*records)


async def test_quick_action_answers_what_it_did(api: Api) -> None:
    await known(api, capped_project("300.00"), worth("BE-1", "100.00"))
    async with api.client() as client:
        answer = await client.post("/billing-events/BE-1/release", json={})
        again = await client.post("/billing-events/BE-1/release")
        unknown = await client.post("/billing-events/BE-9/release", json={"on_cap": "split"})
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("cap") == {
        "level": "project",
        "bookings": "300.00",
        "remaining_before": "300.00",
        "remaining_after": "200.00",
        "budgets": [],
    }
    assert body == {
        "billing_event_id": "BE-1",
        "outcome": "released",
        "released_item_ids": ["BE-1-1"],
        "moved_item_ids": [],
        "adjustments": [],
        "new_billing_event_id": None,
        "warnings": [],
    }
    assert (again.status_code, again.json()["code"]) == (409, "already_released")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert await api.driver.facts("refused") == [], "a refusal over HTTP is no fact"
    (fact,) = await api.driver.facts("released")
    assert fact["starter"] == {"user_id": "u1", "email": "u1@example.com"}
    kept = await api.driver.database.pool.fetchval(
        "select detail from billing_event_history where what = 'refused'"
    )
    assert kept["reasons"][0]["code"] == "already_released"


async def test_split_is_offered_then_done_as_the_preview_says(api: Api) -> None:
    budgets = [{"budget_id": "B-1", "amount": "100.00", "apply_billing_cap": True}]
    event = generated(
        "BE-1",
        item("i1", "150.00", budget_id="B-1", services_product="X"),
        item("i2", "5.00", services_product="X"),
    )
    await known(api, project(budgets=budgets), event)
    async with api.client() as client:
        preview = (await client.get("/billing-events/BE-1/release-preview")).json()
        offer = await client.post("/billing-events/BE-1/release", json={"on_cap": "refuse"})
        done = await client.post("/billing-events/BE-1/release", json={"on_cap": "split"})
        after = (await client.get("/projects/P-1/cap")).json()
        ledger = (await client.get("/projects/P-1/cap/ledger")).json()["items"]
    assert offer.status_code == 409
    assert offer.headers["content-type"] == "application/problem+json"
    problem = offer.json()
    assert (problem["code"], [reason["code"] for reason in problem["reasons"]]) == (
        "split_required",
        ["split_required"],
    )
    assert done.status_code == 200
    assert problem["preview"] == done.json()
    assert {key: preview[key] for key in done.json()} == done.json()
    assert [
        (half["item_id"], half["amount"], half["billing_event_id"]) for half in done.json()["adjustments"]
    ] == [
        ("BE-1.adj1", "-50.00", "BE-1"),
        ("BE-1.2.adj1", "50.00", "BE-1.2"),
    ]
    (budget,) = after["budgets"]
    assert (budget["enforced"], budget["tolerance"], budget["released"], budget["remaining"]) == (
        True,
        "0.00",
        "100.00",
        "0.00",
    )
    assert (after["tracked"], after["enforced"], after["bookings"], after["released"]) == (
        False,
        False,
        "0.00",
        "105.00",
    )
    assert [(each["budget_id"], each["amount"], each["released_after"]) for each in ledger] == [
        (None, "105.00", "105.00"),
        ("B-1", "100.00", "100.00"),
    ]
    assert ledger[0]["decision"]["rule"] == "bill_to_budget_cap"


async def test_preview_of_what_would_be_refused_and_of_what_would_pass(api: Api) -> None:
    await known(api, capped_project("10.00"), worth("BE-1", "20.00"), worth("BE-2", "10.00"))
    async with api.client() as client:
        refused = (await client.get("/billing-events/BE-1/release-preview")).json()
        passes = (await client.get("/billing-events/BE-2/release-preview")).json()
        unknown = await client.get("/billing-events/BE-9/release-preview")
    assert (refused["outcome"], [reason["code"] for reason in refused["reasons"]]) == (
        "refused",
        ["no_item_fits"],
    )
    assert (passes["outcome"], passes["reasons"]) == ("released", [])
    assert unknown.status_code == 404
    assert await api.driver.stage("BE-2") == "awaiting_release"


async def test_token_names_the_projects_that_may_be_released(api: Api) -> None:
    await known(
        api, project(), worth("BE-1", "1.00"), project("P-2"), worth("BE-2", "1.00", project_id="P-2")
    )
    async with api.client(projects=["P-2"]) as client:
        refused = await client.post("/billing-events/BE-1/release", json={})
        allowed = await client.post("/billing-events/BE-2/release", json={})
        job = await client.post("/release-jobs", json={"select": {"billing_event_ids": ["BE-1"]}})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_permitted")
    assert "support@example.com" in refused.json()["reasons"][0]["message"]
    assert allowed.status_code == 200
    await api.driver.finish_jobs()
    async with api.client() as client:
        (failure,) = (await client.get(f"/release-jobs/{job.json()['job_id']}")).json()["failures"]
    assert [reason["code"] for reason in failure["reasons"]] == ["not_permitted"]


async def test_token_names_the_projects_whose_jobs_may_be_stopped(api: Api) -> None:
    await known(
        api, project(), worth("BE-1", "1.00"), project("P-2"), worth("BE-2", "1.00", project_id="P-2")
    )
    async with api.client() as client:
        starts = [
            client.post("/release-jobs", json={"select": {"billing_event_ids": [each]}})
            for each in ("BE-1", "BE-2")
        ]
        others, allowed = [(await start).json()["job_id"] for start in starts]
    async with api.client(projects=["P-2"], sub="u2") as client:
        answers = [await client.post(f"/release-jobs/{job_id}/stop") for job_id in (others, allowed)]
        select = {"billing_event_ids": ["BE-1", "BE-2"]}
        own = (await client.post("/release-jobs", json={"select": select})).json()["job_id"]
        answers.append(await client.post(f"/release-jobs/{own}/stop"))
    assert [answer.status_code for answer in answers] == [409, 202, 202]
    assert answers[0].json()["code"] == "not_permitted"
    await api.driver.finish_jobs()
    assert await api.driver.stage("BE-1") == "released"


@pytest.mark.parametrize(
    ("method", "act", "body"),
    [
        ("POST", "/revert", {}),
        ("POST", "/hold", {"on_hold": True}),
        ("POST", "/recalculate", None),
        ("PATCH", "", {"auto_pass_to_accounting": True}),
    ],
)
async def test_token_names_the_projects_whose_events_may_be_changed(
    api: Api, method: str, act: str, body: dict[str, Any] | None
) -> None:
    await known(
        api, project(), worth("BE-1", "1.00"), project("P-2"), worth("BE-2", "1.00", project_id="P-2")
    )
    async with api.client(projects=["P-2"]) as client:
        await client.post("/billing-events/BE-2/release", json={})
        before = (await client.get("/billing-events/BE-1")).json()
        refused = await client.request(method, f"/billing-events/BE-1{act}", json=body)
        allowed = await client.request(method, f"/billing-events/BE-2{act}", json=body)
        unknown = await client.request(method, f"/billing-events/BE-404{act}", json=body)
        assert (await client.get("/billing-events/BE-1")).json() == before
    assert (refused.status_code, refused.json()["code"]) == (409, "not_permitted")
    assert "support@example.com" in refused.json()["reasons"][0]["message"]
    assert allowed.json().get("code") != "not_permitted"
    assert unknown.status_code == 404


async def test_large_quick_action_becomes_a_job(store: Database, issuer: Issuer) -> None:
    api = Api(store, issuer, release_batch_size=2)
    await known(api, project(), worth("BE-1", "1.00", "1.00", "1.00"))
    async with api.client() as client:
        answer = await client.post("/billing-events/BE-1/release", json={"on_cap": "split"})
        await api.driver.finish_jobs()
        job = (await client.get(f"/release-jobs/{answer.json()['job_id']}")).json()
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert (job["status"], job["released"]) == ("completed", 1)


async def test_release_and_invoice_needs_the_scope_to_write_documents(api: Api) -> None:
    await known(api, worth("BE-1", "1.00"))
    body = {"select": {"billing_event_ids": ["BE-1"]}, "and_invoice": True}
    async with api.client("billing-events:read billing-events:release") as client:
        for mode in ("background", "auto"):
            for dry_run in (False, True):
                ask = body | {"mode": mode, "dry_run": dry_run}
                refused = await client.post("/release-jobs", json=ask)
                assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing"), ask
                assert 'scope="documents:write"' in refused.headers["www-authenticate"]
        assert (await client.get("/release-jobs")).json()["items"] == []
        alone = await client.post("/release-jobs", json=body | {"and_invoice": False})
    assert alone.status_code == 202


async def test_job_is_accepted_worked_and_shown(api: Api) -> None:
    await known(api, capped_project("1.00"), worth("BE-1", "1.00"), worth("BE-2", "1.00"))
    select = {"billing_event_ids": ["BE-1", "BE-2"]}
    async with api.client() as client:
        accepted = await client.post("/release-jobs", json={"select": select, "and_invoice": True})
        job_id = accepted.json()["job_id"]
        queued = (await client.get("/billing-events", params={"stage": "queued"})).json()["items"]
        awaiting = (await client.get("/billing-events", params={"stage": "awaiting_release"})).json()["items"]
        await api.driver.finish_jobs()
        job = (await client.get(f"/release-jobs/{job_id}")).json()
        log = (await client.get(job["links"]["log"])).json()["items"]
        listed = (await client.get("/release-jobs", params={"status": "completed_with_errors"})).json()[
            "items"
        ]
        by_nobody = (await client.get("/release-jobs", params={"starter": "nobody"})).json()["items"]
        unknown = [
            (await client.get("/release-jobs/J-9")).status_code,
            (await client.get("/release-jobs/J-9/log")).status_code,
            (await client.get("/release-jobs", params={"status": "dreaming"})).status_code,
        ]
    assert (accepted.status_code, accepted.json()["status"]) == (202, "queued")
    assert [each["billing_event_id"] for each in queued] == ["BE-1", "BE-2"]
    assert [(each["billing_event_id"], each["stage"]) for each in awaiting] == [
        ("BE-1", "queued"),
        ("BE-2", "queued"),
    ]
    assert (job["status"], job["released"], job["failed"], job["and_invoice"]) == (
        "completed_with_errors",
        0,
        2,
        True,
    )
    assert job["process_run_id"]
    assert job["starter"] == {"user_id": "u1", "email": "u1@example.com"}
    assert [(each["billing_event_id"], each["result"], each["reasons"][0]["code"]) for each in log] == [
        ("BE-1", "error", "batch_failed"),
        ("BE-2", "error", "cap_exceeded"),
    ]
    assert listed == [{key: value for key, value in job.items() if key != "waits_for"}]
    assert by_nobody == []
    assert unknown == [404, 404, 422]


async def test_small_job_of_mode_auto_is_done_at_once_and_a_large_one_is_not(
    store: Database, issuer: Issuer
) -> None:
    api = Api(store, issuer, release_batch_size=3)
    await known(api, project(), worth("BE-1", "1.00", "1.00"), worth("BE-2", "1.00"), worth("BE-3", "1.00"))
    async with api.client() as client:
        small = await client.post(
            "/release-jobs", json={"select": {"billing_event_ids": ["BE-1", "BE-2"]}, "mode": "auto"}
        )
        large = await client.post(
            "/release-jobs", json={"select": {"billing_event_ids": ["BE-1", "BE-2", "BE-3"]}, "mode": "auto"}
        )
        nothing = await client.post(
            "/release-jobs", json={"select": {"filter": {"project_id": "P-9"}}, "mode": "auto"}
        )
    assert (small.status_code, small.json()["status"], small.json()["released"]) == (200, "completed", 2)
    assert (large.status_code, large.json()["status"]) == (202, "queued")
    assert (nothing.status_code, nothing.json()["status"]) == (200, "completed")


@pytest.mark.parametrize(
    "body",
    [
        {"select": {"billing_event_ids": []}},
        {"select": {"batch_ids": []}},
        {"select": {}},
        {"select": {"billing_event_ids": ["BE-1"], "batch_ids": ["BB-1"]}},
        {"select": {"filter": {"colour": "red"}}},
        {"select": {"billing_event_ids": ["BE-1"]}, "mode": "someday"},
        {},
    ],
)
async def test_job_that_selects_nothing_sensible_is_not_accepted(api: Api, body: dict[str, Any]) -> None:
    async with api.client() as client:
        answers = [await client.post("/release-jobs", json=body)]
        if set(body) == {"select"}:
            answers.append(await client.post("/release-jobs/validate", json=body))
    assert [answer.status_code for answer in answers] == [422] * len(answers)


async def test_validation_lists_what_a_job_would_refuse_and_does_nothing(
    store: Database, issuer: Issuer
) -> None:
    api = Api(store, issuer, validation_limit=2, on_chunk_failure="isolate")
    await known(
        api, capped_project("1.00"), worth("BE-1", "1.00"), worth("BE-2", "1.00"), worth("BE-3", "1.00")
    )
    async with api.client() as client:
        few = await client.post(
            "/release-jobs/validate", json={"select": {"billing_event_ids": ["BE-1", "BE-2"]}}
        )
        many = await client.post("/release-jobs/validate", json={"select": {"filter": {"project_id": "P-1"}}})
    body = few.json()
    assert (body["checked"], body["validated"]) == (2, True)
    assert [(each["billing_event_id"], each["reasons"][0]["code"]) for each in body["would_fail"]] == [
        ("BE-2", "cap_exceeded")
    ]
    assert many.json() == {
        "checked": 0,
        "would_fail": [],
        "held_back": [],
        "would_release": [],
        "validated": False,
    }
    assert await api.driver.stage("BE-1") == "awaiting_release"


async def test_same_idempotency_key_releases_once(api: Api) -> None:
    await known(api, project(), worth("BE-1", "1.00"))
    key = {"Idempotency-Key": "k-1"}
    async with api.client() as client:
        answers = [await client.post("/billing-events/BE-1/release", json={}, headers=key) for _ in range(3)]
        other = await client.post("/billing-events/BE-1/release", json={"on_cap": "split"}, headers=key)
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.content for answer in answers}) == 1
    assert other.status_code == 422
    assert len(await api.driver.facts("released")) == 1


async def test_revert_is_accepted_and_tells_what_stays(api: Api) -> None:
    await known(api, capped_project("10.00"), worth("BE-1", "10.00", "5.00"))
    async with api.client() as client:
        early = await client.post("/billing-events/BE-1/revert", json={})
        await client.post("/billing-events/BE-1/release", json={"on_cap": "split"})
        accepted = await client.post("/billing-events/BE-1/revert", json={})
        unknown = await client.post("/billing-events/BE-9/revert", json={})
    async with api.client("billing-events:release") as client:
        forbidden = await client.post("/billing-events/BE-1/revert", json={})
    assert (early.status_code, early.json()["code"]) == (409, "not_released")
    assert accepted.status_code == 202
    assert accepted.json() == {
        "billing_event_id": "BE-1",
        "stage": "reverting",
        "reverting": ["BE-1"],
        "deleting": [],
        "staying": ["BE-1.2"],
    }
    assert (unknown.status_code, forbidden.status_code) == (404, 403)


async def test_unknown_projects_have_no_cap(api: Api) -> None:
    async with api.client() as client:
        answers = [await client.get("/projects/P-9/cap"), await client.get("/projects/P-9/cap/ledger")]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not_found")] * 2
