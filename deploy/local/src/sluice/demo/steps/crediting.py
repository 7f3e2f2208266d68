"""A part of an invoice credited, to the cent, and a credit of more than is left refused."""

from typing import Any

from sluice.demo.arithmetic import written
from sluice.demo.context import Demo, codes
from sluice.demo.feed import CREDITED_AMOUNT, INVOICED_AMOUNT
from sluice.demo.steps.quick_release import release_one


async def credit_a_part(demo: Demo) -> str:
    """Invoice an event, credit a part of it, and try to credit a cent more than is left."""
    corrected, partial, excessive = (
        demo.feed.parts[part] for part in ("corrected", "partial_credit", "excessive_credit")
    )
    invoice = await _invoice(demo, corrected)
    note = await _invoice(demo, partial)
    demo.expect_same(
        "what the credit note corrects",
        [note["kind"], note["corrects_document_id"], note["total_net"]],
        ["sales_credit_note", invoice["document_id"], written(CREDITED_AMOUNT, "GBP")],
    )
    rates = [[(tax["category"], tax["rate"]) for tax in each["taxes"]] for each in (note, invoice)]
    demo.expect_same("the rates of the credit note", rates[0], rates[1])
    await release_one(demo, excessive, on_cap="refuse")
    run = await _pass(demo, excessive)
    refused = (await demo.fact("accounting.billing-event.not-passed.v1", billing_event_id=excessive)).body
    demo.expect_same("why the credit is refused", codes(refused["reasons"]), ["correction_exceeds"])
    demo.expect_same("credit notes of the refused credit", run["credit_notes"], 0)
    left = refused["reasons"][0]["detail"]["left"]
    demo.expect_same(
        "left to correct", list(left.values()), [written(INVOICED_AMOUNT - CREDITED_AMOUNT, "GBP")]
    )
    demo.stated[excessive] = "correction_exceeds"
    demo.found["partial_credit"] = {
        "invoice_number": invoice["number"],
        "credit_note_number": note["number"],
        "credited": {name: note[name] for name in ("total_net", "total_tax", "total_gross")},
        "left": left,
        "refused": {"billing_event_id": excessive, "reasons": refused["reasons"]},
    }
    shown = ", ".join(f"{amount} GBP at {rate}" for rate, amount in left.items())
    return (
        f"{note['number']} credits {note['total_net']} GBP of {invoice['number']}; {excessive} is refused, "
        f"correction_exceeds: {shown} are left"
    )


async def _invoice(demo: Demo, event_id: str) -> dict[str, Any]:
    """Release an event, and give its document."""
    await release_one(demo, event_id, on_cap="refuse")
    await _pass(demo, event_id)
    told = await demo.fact("release.billing-event.invoiced.v1", billing_event_id=event_id)
    validated = "accounting.document.validated.v1"
    document = await demo.fact(validated, document_id=told.body["document_id"])
    return dict(document.body)


async def _pass(demo: Demo, event_id: str) -> dict[str, Any]:
    select = {"select": {"billing_event_ids": [event_id]}}
    started = await demo.services.post("accounting-connector", "/process-runs", select)
    ended = "accounting.process-run.completed.v1"
    run = (await demo.fact(ended, process_run_id=started["process_run_id"])).body
    demo.note("process_runs", run)
    return dict(run)
