"""What a request may hold to do harm: injected SQL, paths that climb, NUL, tampered cursors."""

import base64
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from security.answers import answers_well
from security.requests import changing_requests
from security.routes import ROUTES
from shared.http.pages import encode_cursor
from support import seeding
from support.seeding import Seeded

STREAM: Final = ("GET", "/alerts/stream")

IDS: Final = [
    "'",
    "' or '1'='1",
    "1; drop table billing_events; --",
    '"; select pg_sleep(10); --',
    "$1",
    "%s",
    "{{7*7}}",
    "${jndi:ldap://127.0.0.1/a}",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    "..\\..\\windows",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f",
    "BE-WAIT\x00",
    "BE-WAIT\n",
    "BE-WAIT%00",
    "\u202ebackwards",
    "\ufeffBE-WAIT",
    "\uff22\uff25-WAIT",
    " BE-WAIT",
    "x" * 81,
    "x" * 8_000,
    "-1",
    "9" * 40,
    "null",
    "NaN",
]

RAW_PATHS: Final = [
    "/billing-events/..%2f..%2fmetrics",
    "/billing-events/%2e%2e/metrics",
    "/billing-events/..;/metrics",
    "/billing-events/%c0%ae%c0%ae/metrics",
    "/billing-events/BE-WAIT%00",
    "/billing-events/BE-WAIT%0d%0aSet-Cookie:%20a=b",
    "/docs/assets/..%2f..%2fapplication.py",
    "/docs/assets/%2e%2e/%2e%2e/application.py",
    "/docs/assets/%2fetc%2fpasswd",
    "/documents/..%2f..%2fetc%2fpasswd.xml",
    "/documents/%2e%2e%2fsecret.pdf",
]

LISTS: Final = {
    "release": [
        "/billing-events",
        f"/billing-events/{seeding.SPLIT}/history",
        "/billing-event-batches",
        "/release-jobs",
        "/release-jobs/{job_id}/log",
        f"/projects/{seeding.CAPPED}/cap/ledger",
    ],
    "accounting-connector": ["/documents", "/process-runs", "/process-runs/{process_run_id}/log"],
    "billing-runs": [
        "/billing-runs",
        f"/billing-runs/{seeding.RUN}/executions",
        f"/billing-runs/{seeding.RUN}/documents",
        f"/billing-runs/{seeding.RUN}/billing-events",
    ],
    "notifier": ["/alerts", "/deliveries"],
}

CURSORS: Final = [
    "",
    "nonsense",
    "é",
    "\x00",
    "A" * 2_049,
    base64.urlsafe_b64encode(b"[]").decode(),
    base64.urlsafe_b64encode(b"{}").decode(),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    base64.urlsafe_b64encode(b"[" * 1_000).decode(),
    base64.urlsafe_b64encode(b'["\\u0000"]').decode(),
    base64.urlsafe_b64encode(b"[1e999]").decode(),
    base64.urlsafe_b64encode(b"[" + b"9" * 400 + b"]").decode(),
    base64.urlsafe_b64encode(b'["2026-11-20T00:00:00","x"]').decode(),
    base64.urlsafe_b64encode(b'["99999-01-01T00:00:00Z","x"]').decode(),
    encode_cursor(("a", "b", "c")),
    encode_cursor((True,)),
]
LIMITS: Final = ["0", "-1", "201", "1e3", "5.0", "+5", "٣", " 5", "0x10", "9" * 30, "", "limit"]


def parametrised() -> list[tuple[str, str, str]]:
    """Every call whose path names something."""
    return [
        (service, method, path) for service, calls in ROUTES.items() for method, path in calls if "{}" in path
    ]


@pytest.mark.parametrize(("service", "method", "path"), parametrised(), ids=str)
async def test_ids_are_only_ids(seeded: Seeded, service: str, method: str, path: str) -> None:
    is_made_by_its_id = ("PUT", path) in ROUTES[service]
    bodies = {(each.service, each.method, each.route): each.body for each in changing_requests(seeded)}
    async with seeded.system.client(service) as client:
        for identifier in IDS:
            target = path.format(quote(identifier, safe=""))
            response = await client.request(method, target, json=bodies.get((service, method, path)))
            if is_made_by_its_id and response.status_code == 200:
                assert identifier in {"-1", "9" * 40, "null", "NaN"}, "only what has the form of an id"
            else:
                answers_well(response)


async def test_paths_do_not_climb(seeded: Seeded) -> None:
    for service in ROUTES:
        async with seeded.system.client(service) as client:
            for path in RAW_PATHS:
                target = httpx.URL(f"http://{service}").copy_with(raw_path=path.encode())
                response = await client.get(target)
                assert response.status_code in {404, 405, 422}, path
                assert "set-cookie" not in response.headers
                assert "root:" not in response.text
                assert "import " not in response.text


FILTERS: Final = [
    ("release", "/billing-events", ("stage", "project_id", "account_id", "currency", "batch_id")),
    ("release", "/release-jobs", ("status", "starter")),
    ("accounting-connector", "/documents", ("kind", "status", "account_id", "billing_run_id")),
    ("accounting-connector", "/process-runs/{process_run_id}/log", ("result",)),
    (
        "billing-runs",
        f"/billing-runs/{seeding.RUN}/documents",
        ("review", "kind", "account_id", "company_id", "currency", "number", "date_from", "date_to", "rule"),
    ),
    ("billing-runs", f"/billing-runs/{seeding.RUN}/documents", ("amount_max",)),
    ("notifier", "/alerts", ("unread",)),
    ("notifier", "/deliveries", ("status",)),
]


@pytest.mark.parametrize(("service", "path", "names"), FILTERS, ids=lambda part: str(part)[:40])
async def test_filters_are_only_filters(
    seeded: Seeded, service: str, path: str, names: tuple[str, ...]
) -> None:
    target = path.format(job_id=seeded.job_id, process_run_id=seeded.process_run_id)
    async with seeded.system.client(service) as client:
        everything = (await client.get(target)).json()["items"]
        assert everything, "a list in which nothing could be found shows nothing"
        for name in names:
            for value in IDS:
                response = await client.get(target, params={name: value})
                if response.status_code == 200:
                    assert response.json()["items"] == [], f"{name}={value!r} found something"
                else:
                    answers_well(response)
        for unknown in ("colour", "Stage", "stage[]", "limit;drop", "items", "offset"):
            answers_well(await client.get(target, params={unknown: "x"}))


def all_lists() -> list[tuple[str, str]]:
    return [(service, path) for service, paths in LISTS.items() for path in paths]


@pytest.mark.parametrize(("service", "path"), all_lists(), ids=str)
async def test_cursors_and_limits_are_checked(seeded: Seeded, service: str, path: str) -> None:
    target = path.format(job_id=seeded.job_id, process_run_id=seeded.process_run_id)
    async with seeded.system.client(service) as client:
        assert (await client.get(target, params={"limit": "1"})).status_code == 200
        for cursor in CURSORS:
            answers_well(await client.get(target, params={"cursor": cursor}))
        for limit in LIMITS:
            answers_well(await client.get(target, params={"limit": limit}))
        answers_well(await client.get(target, params=[("limit", "1"), ("limit", "x")]))


@pytest.mark.parametrize(("service", "path"), all_lists(), ids=str)
async def test_pages_follow_each_other_without_gap(seeded: Seeded, service: str, path: str) -> None:
    target = path.format(job_id=seeded.job_id, process_run_id=seeded.process_run_id)
    async with seeded.system.client(service) as client:
        whole = (await client.get(target, params={"limit": "200"})).json()
        assert whole["next_cursor"] is None
        paged: list[Any] = []
        cursor: str | None = None
        for _ in range(len(whole["items"]) + 1):
            given = {"limit": "1"} | ({} if cursor is None else {"cursor": cursor})
            page = (await client.get(target, params=given)).json()
            paged += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert paged == whole["items"]


async def test_the_books_still_balance(seeded: Seeded) -> None:
    for service in ("release", "accounting-connector"):
        async with seeded.system.client(service) as client:
            assert (await client.get("/reconciliation")).json()["balanced"] is True
