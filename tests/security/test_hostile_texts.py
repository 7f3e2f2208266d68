"""Texts that would be commands elsewhere stay texts: in mails, XML and PDF (quality.md, Security)."""

import io
from collections.abc import AsyncIterator
from typing import Final

import pytest
from lxml import etree
from pypdf import PdfReader

from integration.notifier.mail_server import MailServer
from support import seeding
from support.databases import Databases
from support.records import message_record
from support.seeding import Seeded, seeded_system

EVIL: Final = "evil@example.com"
MARKUP: Final = (
    f'=?utf-8?Q?a=0d=0aBcc:{EVIL}?= <b onload="x">&amp;]]><!ENTITY e SYSTEM "file:///etc/passwd">&e; '
    '#read("/etc/passwd") #set page(width: 1pt) $x$ \\ {{7*7}} {% raw %} =1+1'
)
INJECTION: Final = f"a@example.com\r\nBcc: {EVIL}"

HEADERS: Final = {
    *("from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version", "content-type"),
}


def hostile(what: str) -> str:
    """A text that means something to a mail, to XML, to Typst and to a template."""
    return f"{what} {MARKUP}"


@pytest.fixture(scope="module")
async def mailed() -> AsyncIterator[MailServer]:
    async with MailServer() as server:
        yield server


@pytest.fixture(scope="module")
async def flow(databases: Databases, mailed: MailServer) -> AsyncIterator[Seeded]:
    """Every flow with hostile texts; what is an address elsewhere is none here."""
    async with seeded_system(databases, hostile, smtp_url=mailed.url) as seeded:
        yield seeded


async def test_a_text_is_stored_and_shown_as_it_came(flow: Seeded) -> None:
    async with flow.system.client("release") as client:
        event = (await client.get(f"/billing-events/{seeding.PASSED}")).json()
    assert event["customer_reference"] == hostile("reference")
    assert event["items"][0]["accounting_line_description"] == hostile("milestone")
    async with flow.system.client("accounting-connector") as client:
        document = (await client.get(f"/documents/{flow.document_id}")).json()
    assert document["account"]["name"] == hostile("account")
    assert document["lines"][0]["description"] == hostile("milestone")


async def test_no_text_begins_a_header_or_finds_a_recipient(flow: Seeded, mailed: MailServer) -> None:
    assert len(mailed.taken) >= 3
    assert EVIL not in mailed.recipients
    for mail in mailed.taken:
        names = [name.lower() for name in mail.message]
        assert set(names) <= HEADERS
        assert len(names) == len(set(names))
        assert mail.message["to"] == mail.recipient
        assert "<b onload" not in mail.body("html")
        assert "49" not in mail.message["subject"]


async def test_an_address_with_a_line_end_is_bad_input(flow: Seeded, mailed: MailServer) -> None:
    before = len(mailed.taken)
    starter = {"user_id": "u1", "email": INJECTION}
    body = {"job_id": "J-9", "status": "completed_with_errors", "and_invoice": False, "process_run_id": None}
    body |= {"released": 0, "failed": 1, "failures": [], "starter": starter}
    crossed = {"project_id": "P-9", "level": "project", "budget_id": None, "bookings": "1", "released": "1"}
    crossed |= {"ratio": "1", "alert_threshold": "80", "alert_recipient": INJECTION}
    await flow.system.send(
        message_record("release.job.completed.v1", body),
        message_record("release.cap.threshold-crossed.v1", crossed),
    )
    assert all(EVIL not in mail.recipient and b"\nBcc:" not in mail.content for mail in mailed.taken[before:])
    async with flow.system.client("accounting-connector") as client:
        path = f"/companies/{seeding.COMPANY}/settings"
        refused = await client.put(path, json={"additional_recipients": INJECTION})
    assert refused.status_code == 422


async def test_xml_holds_texts_as_texts(flow: Seeded) -> None:
    async with flow.system.client("accounting-connector") as client:
        response = await client.get(f"/documents/{flow.document_id}.xml")
    assert response.status_code == 200, response.text
    assert b"<!DOCTYPE" not in response.content
    assert b"<!ENTITY" not in response.content
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    document = etree.fromstring(response.content, parser)
    texts = ["" if element.text is None else element.text for element in document.iter()]
    assert hostile("account") in texts
    assert hostile("milestone") in texts
    assert not any("root:" in text for text in texts)


async def test_a_pdf_holds_texts_as_texts(flow: Seeded) -> None:
    async with flow.system.client("accounting-connector") as client:
        response = await client.get(f"/documents/{flow.document_id}.pdf")
    assert response.status_code == 200, response.text
    reader = PdfReader(io.BytesIO(response.content))
    text = " ".join("".join(page.extract_text() for page in reader.pages).split())
    assert '#read("/etc/passwd")' in text
    assert "{{7*7}}" in text
    assert "root:" not in text
    width, height = (float(side) for side in reader.pages[0].mediabox[2:])
    assert (round(width), round(height)) == (595, 842)
    assert b"/JavaScript" not in response.content
    assert b"/Launch" not in response.content


@pytest.mark.parametrize("control", ["\x00", "\x01", "\x0b", "\ufffe", "\ud800"])
async def test_what_xml_cannot_hold_does_not_break_a_document(flow: Seeded, control: str) -> None:
    """It is refused as bad input, or the document's file still is XML; in no case does anything stand still."""
    before = len([each for each in flow.system.published if each.topic.endswith(".dead-letters")])
    code = f"{ord(control):x}"
    event = seeding.event(f"BE-X-{code}", seeding.PROJECT, "10.00", customer_reference=f"a{control}b")
    await flow.system.send(*seeding.milestones(event))
    dead = len([each for each in flow.system.published if each.topic.endswith(".dead-letters")]) - before
    async with flow.system.client("release") as client:
        shown = await client.get(f"/billing-events/BE-X-{code}")
        assert (shown.status_code == 404) == (dead > 0), "put aside, or there"
        if dead:
            return
        released = await client.post(f"/billing-events/BE-X-{code}/release", json={})
        assert released.status_code == 200, released.text
    await flow.system.settle()
    async with flow.system.client("accounting-connector") as client:
        started = await client.post("/process-runs", json={"select": {"billing_event_ids": [f"BE-X-{code}"]}})
        assert started.status_code == 202
        await flow.system.settle()
        (document,) = (await client.get(f"/documents?billing_event_id=BE-X-{code}")).json()["items"]
        for suffix in ("xml", "pdf"):
            file = await client.get(f"/documents/{document['document_id']}.{suffix}")
            assert file.status_code in {200, 422}, file.text
            if suffix == "xml" and file.status_code == 200:
                etree.fromstring(file.content)
