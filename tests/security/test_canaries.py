"""Names, descriptions, addresses and amounts never leave by logs, metrics or traces (quality.md, Security)."""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Final

import httpx
import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from integration.notifier.mail_server import MailServer
from shared.telemetry.logs import configure_logs
from shared.telemetry.metrics import metrics_page
from support import seeding
from support.databases import Databases
from support.records import cloud_event_headers, message_record, raw_record
from support.seeding import Seeded, seeded_system
from support.telemetry import exported_spans, measure

CANARY: Final = "Zanzibar"
AMOUNTS: Final = ("1234.50", "1481.40", "12001.00", "30000.00", "246.90", "150.10")
MAIL_SERVER_LOG: Final = "mail.log"
"""Where the test's own mail server writes, which is no part of Sluice."""

CLAIMS: Final = {"email": "zanzibar.user@example.com"}


def canary(what: str) -> str:
    """A text that must not show up where it does not belong."""
    return f"{CANARY} {what}"


@pytest.fixture(scope="module")
def logged() -> Iterator[io.StringIO]:
    """All that is logged while the module runs, at the most talkative level."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logs("tests", "tests-1", level="debug", stream=stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def exported() -> Iterator[InMemorySpanExporter]:
    """The spans that leave the process while the module runs; its metrics are counted, too."""
    measure()
    with exported_spans() as seen:
        yield seen


@pytest.fixture(scope="module")
async def mailed() -> AsyncIterator[MailServer]:
    async with MailServer() as server:
        yield server


@pytest.fixture(scope="module")
async def flow(
    databases: Databases, logged: io.StringIO, exported: InMemorySpanExporter, mailed: MailServer
) -> AsyncIterator[Seeded]:
    """Every flow with canaries in all that is free text, and what goes wrong on the way."""
    async with seeded_system(databases, canary, claims=CLAIMS, smtp_url=mailed.url) as seeded:
        await _send_what_cannot_be_taken(seeded)
        await _call_with_canaries(seeded)
        yield seeded


async def _send_what_cannot_be_taken(seeded: Seeded) -> None:
    wrong_type = {
        "account_id": "A-9",
        "version": 1,
        "name": [canary("name")],
        "billing_email": canary("mail"),
    }
    wrong_amount = {"record_id": "T-9", "version": 1, "kind": "timecard", "amount": canary("amount")}
    headers = cloud_event_headers("psa.account.upserted.v1", canary("message id"))
    unknown = [*cloud_event_headers("psa.account.upserted.v1", "m-1"), ("note", canary("header").encode())]
    await seeded.system.send(
        message_record("psa.account.upserted.v1", wrong_type),
        message_record("psa.business-record.upserted.v1", wrong_amount),
        raw_record("psa.accounts", json.dumps({canary("field"): 1}).encode(), headers),
        raw_record(
            "psa.accounts", f'{{"name": "{canary("text")}'.encode(), unknown, key=canary("key").encode()
        ),
        message_record("release.billing-event.release.v1", {"billing_event_id": canary("id")}),
    )


async def _call_with_canaries(seeded: Seeded) -> None:
    for service in seeded.system.services:
        async with seeded.system.client(service) as client:
            for path in (f"/{CANARY}", f"/{CANARY}/{CANARY}?q={CANARY}", f"/documents/{CANARY}"):
                assert (await client.get(path)).status_code == 404
            assert (await client.put(f"/rules/{CANARY}", json={CANARY: CANARY})).status_code in {404, 422}
            await client.request(CANARY.upper(), "/metrics")
    async with seeded.system.client("release") as client:
        await _refused(await client.get(f"/billing-events?currency={CANARY}&{CANARY}=1"))
        await _refused(await client.get(f"/release-jobs?cursor={CANARY}"))
        assert (await client.get(f"/release-jobs?starter={CANARY}")).status_code == 200
        fill = {"items": [{"item_id": f"{seeding.WAITING}-1", "services_product": canary("other product")}]}
        filled = await client.patch(f"/billing-events/{seeding.WAITING}", json=fill)
        assert filled.status_code == 409
        await _refused(await client.post(f"/billing-events/{seeding.WAITING}/hold", json={"on_hold": CANARY}))
    async with seeded.system.client("accounting-connector") as client:
        body = {
            "additional_recipients": f"{canary('nobody')}; zanzibar@",
            "event_criteria": [f'fields.name == "{CANARY}"'],
        }
        put = await client.put(f"/companies/{seeding.COMPANY}/settings", json=body)
        assert put.status_code == 200, put.text
        select = {"select": {"billing_event_ids": [seeding.OPTIMISED]}}
        assert (await client.post("/process-runs", json=select)).status_code == 202
    async with seeded.system.client("billing-runs") as client:
        review = {
            "action": "reject",
            "reason": canary("reason"),
            "select": {"document_ids": [seeded.draft_id]},
        }
        rejected = await client.post(f"/billing-runs/{seeding.RUN}/documents/review", json=review)
        assert rejected.json()["results"][0]["result"] == "done"
    await seeded.system.settle()


async def _refused(response: httpx.Response) -> None:
    assert response.status_code == 422, response.text


def canaries_in(text: str) -> list[str]:
    """The lines in which one sings."""
    return [
        line
        for line in text.splitlines()
        if CANARY.lower() in line.lower() or any(map(line.__contains__, AMOUNTS))
    ]


async def test_the_canaries_are_alive(flow: Seeded, mailed: MailServer) -> None:
    system = flow.system
    async with system.client("accounting-connector") as client:
        assert canary("account") in (await client.get(f"/documents/{flow.document_id}")).text
    assert "1481.40" in json.dumps(system.facts("accounting.document.validated.v1"))
    assert "zanzibar.pm@example.com" in mailed.recipients
    assert len([each for each in system.published if each.topic.endswith(".dead-letters")]) >= 5


async def test_none_is_in_the_logs(flow: Seeded, logged: io.StringIO) -> None:
    lines = [line for line in logged.getvalue().splitlines() if json.loads(line)["logger"] != MAIL_SERVER_LOG]
    assert any("recipient is not a valid mail address" in line for line in lines)
    assert canaries_in("\n".join(lines)) == []


async def test_none_is_in_the_metrics(flow: Seeded) -> None:
    page = metrics_page()[0].decode()
    assert "sluice_release_decisions" in page
    assert "http_server_request_duration_seconds_count" in page
    assert canaries_in(page) == []
    for service in flow.system.services:
        async with flow.system.client(service) as client:
            assert canaries_in((await client.get("/metrics")).text) == []
            assert canaries_in((await client.get("/health/ready")).text) == []


async def test_none_is_in_the_spans(flow: Seeded, exported: InMemorySpanExporter) -> None:
    spans = exported.get_finished_spans()
    assert {"process psa", "process release.commands", "process release.events"} <= {
        span.name for span in spans
    }
    assert any("http.route" in (span.attributes or {}) for span in spans)
    assert canaries_in("\n".join(map(written, spans))) == []


def written(span: ReadableSpan) -> str:
    """All that a span says, in a line."""
    return str(span.to_json(indent=None)).replace("\n", " ")
