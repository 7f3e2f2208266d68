"""Files of documents: asked for by commands and over HTTP, made once, stale once their draft is validated."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import httpx
import pypdf
import pytest
from lxml import etree

from accounting_connector.domain.reasons import Reason
from accounting_connector.handlers import files
from accounting_connector.rendering.model import NotRenderedError, Rendering
from accounting_connector.rendering.workers import RenderingWorkers
from integration.accounting_connector.driver import (
    ConnectorDriver,
    company,
    event,
    item,
    released,
    render,
    start_ids,
    validate,
)
from shared.contracts.command_fields import FileFormat

CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
ANSWERS = ("rendered", "render-failed", "refused")


@pytest.fixture
async def processes() -> AsyncIterator[RenderingWorkers]:
    """Worker processes that end with the test."""
    async with RenderingWorkers(2) as workers:
        yield workers


class Unlucky(RenderingWorkers):
    """Fails with a reason the first times it is asked; meanwhile something else may happen."""

    def __init__(self, code: str, failures: int) -> None:
        super().__init__(1)
        self.code = code
        self.failures = failures
        self.asked = 0

    async def render(self, rendering: Rendering, file_format: FileFormat) -> bytes:
        """A file that says whose it is, or the failure."""
        self.asked += 1
        if self.asked <= self.failures:
            raise NotRenderedError(Reason(self.code, "It did not work"))
        return f"{rendering.number} {file_format}".encode()

    async def render_many(
        self, wanted: Sequence[tuple[Rendering, FileFormat]]
    ) -> list[bytes | NotRenderedError]:
        """One after the other."""
        made: list[bytes | NotRenderedError] = []
        for rendering, file_format in wanted:
            try:
                made.append(await self.render(rendering, file_format))
            except NotRenderedError as error:
                made.append(error)
        return made


async def make_files(connector: ConnectorDriver, processes: RenderingWorkers) -> None:
    """Make all files that are to be made, those put off too."""
    for _ in range(20):
        await connector.database.pool.execute("update document_files set due_at = now() where due_at > now()")
        if not await connector.database.run(
            lambda work: files.work_files(work, connector.deployment, processes)
        ):
            return
    raise AssertionError("there are always files to make")


async def document_of(connector: ConnectorDriver, *events: dict[str, Any], **fields: Any) -> list[str]:
    """The ids of the documents made of these events, in their order."""
    await connector.release(*(released(each) for each in events))
    ids = [each["billing_event_id"] for each in events]
    await connector.command(start_ids("PR-1", *ids, **fields))
    await connector.settle()
    facts = await connector.facts("drafted" if fields.get("validate") is False else "validated")
    by_event = {fact["billing_event_ids"][0]: fact["document_id"] for fact in facts}
    return [by_event[billing_event_id] for billing_event_id in ids]


async def states(connector: ConnectorDriver) -> dict[tuple[str, str], str]:
    rows = await connector.database.pool.fetch("select document_id, format, state from document_files")
    return {(row["document_id"], row["format"]): row["state"] for row in rows}


async def test_each_job_that_asks_is_answered_for_each_document(
    connector: ConnectorDriver, processes: RenderingWorkers
) -> None:
    first, second = await document_of(connector, event("BE-1"), event("BE-2"))
    await connector.command(render(first, second, first), render(first, job_id="step-2"))
    assert set((await states(connector)).values()) == {"queued"}
    await make_files(connector, processes)
    await connector.command(render(second, job_id="step-3"))
    facts = await connector.facts(*ANSWERS)
    assert sorted((fact["job_id"], fact["document_id"]) for fact in facts) == sorted(
        [("step-1", first), ("step-1", second), ("step-2", first), ("step-3", second)]
    )
    for fact in facts:
        content = await connector.database.pool.fetchval(
            "select bytes from document_files where document_id = $1", fact["document_id"]
        )
        assert (fact["size_bytes"], fact["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert (fact["format"], fact["starter"]["user_id"], fact.key) == ("xml", "u1", fact["document_id"])
    assert await connector.database.pool.fetchval("select count(*) from file_requests") == 0


async def test_one_document_that_cannot_be_written_does_not_stop_the_others(
    connector: ConnectorDriver, processes: RenderingWorkers
) -> None:
    await connector.reference(company("C-KW", accounting_currencies=["KWD"]))
    dinars = event(
        "BE-1", item("i1", "10.125"), currency="KWD", billing_event_currency="KWD", company_id="C-KW"
    )
    broken, good = await document_of(connector, dinars, event("BE-2"))
    await connector.command(render(broken, good), render(broken, file_format="pdf"))
    await make_files(connector, processes)
    facts = await connector.facts(*ANSWERS)
    told = {(fact["document_id"], fact["format"]): fact for fact in facts}
    assert len(facts) == 3
    assert told[broken, "xml"].type.endswith("render-failed.v1")
    assert [reason["code"] for reason in told[broken, "xml"]["reasons"]] == ["currency_not_expressible"]
    assert told[broken, "pdf"].type.endswith(".rendered.v1")
    assert told[good, "xml"].type.endswith(".rendered.v1")
    assert (await states(connector))[broken, "xml"] == "failed"


async def test_a_command_for_an_unknown_document_waits_and_is_refused(connector: ConnectorDriver) -> None:
    await connector.command(render("D-nowhere"))
    assert await connector.facts(*ANSWERS) == []
    await connector.settle()
    (fact,) = await connector.facts(*ANSWERS)
    assert (fact["document_id"], fact["action"], fact["job_id"]) == ("D-nowhere", "render", "step-1")
    assert [reason["code"] for reason in fact["reasons"]] == ["not_found"]


@pytest.mark.parametrize(
    ("code", "failures", "asked", "outcome"),
    [
        ("rendering_crashed", 2, 3, "rendered"),
        ("rendering_timed_out", 99, files.ATTEMPTS_MAX, "render-failed"),
        ("seller_country_missing", 99, 1, "render-failed"),
    ],
)
async def test_what_may_pass_is_tried_again_a_bounded_number_of_times(
    connector: ConnectorDriver, code: str, failures: int, asked: int, outcome: str
) -> None:
    (document_id,) = await document_of(connector, event())
    await connector.command(render(document_id))
    unlucky = Unlucky(code, failures)
    await make_files(connector, unlucky)
    assert unlucky.asked == asked
    (fact,) = await connector.facts(*ANSWERS)
    assert fact.type == f"accounting.document.{outcome}.v1"
    await connector.command(render(document_id, job_id="step-2"))
    await make_files(connector, Unlucky(code, 0))
    assert (await connector.facts(*ANSWERS))[-1]["job_id"] == "step-2"
    assert set((await states(connector)).values()) == {"ready"}


async def test_a_drafts_file_is_stale_once_it_is_validated_and_made_again(
    connector: ConnectorDriver, processes: RenderingWorkers, client: httpx.AsyncClient
) -> None:
    (document_id,) = await document_of(connector, event(), validate=False)
    await connector.command(render(document_id), render(document_id, file_format="pdf"))
    await make_files(connector, processes)
    draft = await client.get(f"/documents/{document_id}.xml")
    assert f"DRAFT-{document_id}.xml" in draft.headers["content-disposition"]
    await connector.command(validate(document_id, date="2026-11-30"))
    shown = (await client.get(f"/documents/{document_id}")).json()
    assert shown["rendering"] == {"xml": "stale", "pdf": "stale"}
    await connector.command(render(document_id, job_id="step-2"))
    await make_files(connector, processes)
    again = (await client.get(f"/documents/{document_id}.xml")).content
    root = etree.fromstring(again)
    assert (root.findtext(f"{CBC}ID"), root.findtext(f"{CBC}IssueDate")) == ("SIN-2026-000001", "2026-11-30")
    assert again != draft.content
    assert (await client.get(f"/documents/{document_id}")).json()["rendering"] == {
        "xml": "ready",
        "pdf": "stale",
    }


async def test_a_draft_that_is_validated_while_its_file_is_made_gets_the_right_one(
    connector: ConnectorDriver,
) -> None:
    (document_id,) = await document_of(connector, event(), validate=False)
    await connector.command(render(document_id))

    class Slow(Unlucky):
        async def render(self, rendering: Rendering, file_format: FileFormat) -> bytes:
            if not self.asked:
                # Nobody waits for a file that is being made.
                async with asyncio.timeout(30):
                    await connector.command(validate(document_id), render(document_id, job_id="step-2"))
            return await super().render(rendering, file_format)

    slow = Slow("", 0)
    await make_files(connector, slow)
    assert slow.asked == 2
    content = await connector.database.pool.fetchval("select bytes from document_files")
    assert content.startswith(b"SIN-")
    assert [fact["job_id"] for fact in await connector.facts(*ANSWERS)] == ["step-1", "step-2"]


async def test_replicas_share_the_work(connector: ConnectorDriver) -> None:
    ids = await document_of(connector, *(event(f"BE-{place}") for place in range(12)))
    await connector.command(render(*ids))
    first, second = Unlucky("", 0), Unlucky("", 0)
    await asyncio.gather(make_files(connector, first), make_files(connector, second))
    assert first.asked + second.asked == len(ids)
    assert len(await connector.facts("rendered")) == len(ids)


@pytest.mark.parametrize(
    ("file_format", "media_type", "beginning"),
    [("xml", "application/xml", b"<?xml"), ("pdf", "application/pdf", b"%PDF")],
)
async def test_a_file_is_made_when_somebody_looks_and_then_kept(
    connector: ConnectorDriver, client: httpx.AsyncClient, file_format: str, media_type: str, beginning: bytes
) -> None:
    (document_id,) = await document_of(connector, event())
    answer = await client.get(f"/documents/{document_id}.{file_format}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"] == f'attachment; filename="SIN-2026-000001.{file_format}"'
    assert answer.content.startswith(beginning)
    assert await states(connector) == {(document_id, file_format): "ready"}
    tag = answer.headers["etag"]
    known = await client.get(f"/documents/{document_id}.{file_format}", headers={"If-None-Match": tag})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert (await client.get(f"/documents/{document_id}.{file_format}")).content == answer.content


async def test_a_file_that_cannot_be_made_says_why(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    await connector.reference(company("C-KW", accounting_currencies=["KWD"]))
    dinars = event(
        "BE-1", item("i1", "10.125"), currency="KWD", billing_event_currency="KWD", company_id="C-KW"
    )
    (document_id,) = await document_of(connector, dinars)
    answer = await client.get(f"/documents/{document_id}.xml")
    assert (answer.status_code, answer.json()["code"]) == (422, "currency_not_expressible")
    assert [reason["code"] for reason in answer.json()["reasons"]] == ["currency_not_expressible"]
    assert (await client.get(f"/documents/{document_id}")).json()["rendering"] == {
        "xml": "failed",
        "pdf": "none",
    }
    again = await client.get(f"/documents/{document_id}.xml")
    assert (again.status_code, again.json()["reasons"]) == (422, answer.json()["reasons"])
    assert (await client.get(f"/documents/{document_id}.pdf")).status_code == 200
    unknown = await client.get("/documents/nowhere.pdf")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_number_xml_and_database_agree_to_the_cent(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    """Number, lines and totals are the same in the file, in the answer and in the items (domain.md section 4)."""
    amounts = {"BE-1": ["0.01", "99.99", "-0.50"], "BE-2": ["-12.34", "2.30"], "BE-3": ["33.33"] * 3}
    events = [
        event(event_id, *(item(f"{event_id}-{place}", amount) for place, amount in enumerate(each)))
        for event_id, each in amounts.items()
    ]
    for document_id, each in zip(await document_of(connector, *events), amounts.values(), strict=True):
        expected = abs(sum(map(Decimal, each), Decimal(0)))
        shown = (await client.get(f"/documents/{document_id}")).json()
        root = etree.fromstring((await client.get(f"/documents/{document_id}.xml")).content)
        lines = root.findall(".//{*}InvoiceLine") + root.findall(".//{*}CreditNoteLine")
        assert root.findtext(f"{CBC}ID") == shown["number"]
        assert [line.findtext(f"{CBC}LineExtensionAmount") for line in lines] == [
            line["amount"] for line in shown["lines"]
        ]
        written = sum((Decimal(line.findtext(f"{CBC}LineExtensionAmount", "")) for line in lines), Decimal(0))
        net, gross = (
            root.findtext(f".//{CBC}{name}", "") for name in ("TaxExclusiveAmount", "TaxInclusiveAmount")
        )
        assert written == expected == Decimal(net)
        assert (net, gross) == (shown["total_net"], shown["total_gross"])
        pdf = pypdf.PdfReader(io.BytesIO((await client.get(f"/documents/{document_id}.pdf")).content))
        (page,) = (" ".join(each.extract_text().split()) for each in pdf.pages)
        assert f"Number {shown['number']}" in page
        assert f"GBP {gross}" in page
