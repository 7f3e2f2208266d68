"""Who is named in facts: who asked, or made the events eligible (contract.md section 1, domain.md section 8)."""

from typing import Any, Final

import httpx
import pytest

from integration.accounting_connector.driver import (
    CANCEL,
    CHANGED,
    CLAIM,
    RENDER,
    START,
    UNCLAIM,
    VALIDATE,
    WITHDRAW,
    ZERO_RATED,
    ConnectorDriver,
    Fact,
    account,
    event,
    item,
    released,
    words,
)
from support.records import message_record

REVIEWER: Final = {"user_id": "u9", "email": "u9@example.com"}
"""Not who released the events."""


class Asking:
    """Commands of one user, each with the facts that followed from it."""

    def __init__(self, connector: ConnectorDriver, starter: dict[str, str]) -> None:
        self._connector = connector
        self._starter = starter

    async def ask(self, command: str, **body: Any) -> list[Fact]:
        before = len(await self._connector.facts())
        await self._connector.command(message_record(command, {**body, "requested_by": self._starter}))
        await self._connector.settle()
        told = (await self._connector.facts())[before:]
        assert [fact["starter"] for fact in told] == [self._starter] * len(told), words(told)
        return told


async def test_every_fact_of_a_claim_a_draft_and_its_cancelling_names_who_asked(
    connector: ConnectorDriver,
) -> None:
    await connector.release(
        released(event("BE-1")), released(event("BE-2", item("i2", services_product=None)))
    )
    asking = Asking(connector, REVIEWER)
    claimed = await asking.ask(
        CLAIM, billing_run_id="R-1", billing_event_ids=["BE-1", "BE-2"], part=2, parts=3
    )
    assert words(claimed) == ["claimed"]
    assert [(fact["part"], fact["parts"]) for fact in claimed] == [(2, 3)]
    drafting = {"process_run_id": "PR-1", "validate": False, "billing_run_id": "R-1"}
    drafted = await asking.ask(START, select={"billing_event_ids": ["BE-1", "BE-2"]}, **drafting)
    assert words(drafted) == ["process-run.started", "drafted", "not-passed", "process-run.completed"]
    assert [fact["billing_run_id"] for fact in drafted] == ["R-1"] * 4
    # Somebody else goes on with the draft: from now on it is their doing.
    other = Asking(connector, {"user_id": "u10", "email": "u10@example.com"})
    draft = {"document_ids": [drafted[1]["document_id"]], "job_id": "step-1"}
    cancelled = await other.ask(CANCEL, billing_events="reopen", **draft)
    assert words(cancelled) == ["cancelled", "unclaimed"]
    refused = await other.ask(VALIDATE, **draft)
    assert [
        (word, fact["action"], fact["job_id"]) for word, fact in zip(words(refused), refused, strict=True)
    ] == [("refused", "validate", "step-1")]
    end = {"billing_run_id": "R-1", "billing_event_ids": ["BE-2"], "billing_events": "reopen"}
    unclaimed = await other.ask(UNCLAIM, part=2, parts=2, **end)
    assert [(word, fact["part"]) for word, fact in zip(words(unclaimed), unclaimed, strict=True)] == [
        ("unclaimed", 2)
    ]


async def test_every_fact_of_a_validation_and_a_withdrawal_names_who_asked(
    connector: ConnectorDriver,
) -> None:
    await connector.release(released(event("BE-1")), released(event("BE-2")))
    (drafted,) = [
        fact
        for fact in await Asking(connector, REVIEWER).ask(
            START, process_run_id="PR-1", select={"billing_event_ids": ["BE-1"]}, validate=False
        )
        if words([fact]) == ["drafted"]
    ]
    other = Asking(connector, {"user_id": "u10", "email": "u10@example.com"})
    validated = await other.ask(VALIDATE, document_ids=[drafted["document_id"]], job_id="step-1")
    assert [(word, fact["job_id"]) for word, fact in zip(words(validated), validated, strict=True)] == [
        ("validated", "step-1")
    ]
    last = Asking(connector, {"user_id": "u11", "email": "u11@example.com"})
    assert words(await last.ask(WITHDRAW, billing_event_ids=["BE-1"])) == ["validated", "withdrawn"]
    await other.ask(CLAIM, billing_run_id="R-1", billing_event_ids=["BE-2"])
    assert words(await last.ask(WITHDRAW, billing_event_ids=["BE-2"])) == ["withdraw-refused"]
    unknown = await last.ask(RENDER, document_ids=["D-404"], format="pdf", job_id="step-2")
    assert [(fact["action"], fact["job_id"], fact["document_id"]) for fact in unknown] == [
        ("render", "step-2", "D-404")
    ]


@pytest.mark.parametrize("ids", [["BE-1"], ["BE-1", "BE-2"]], ids=["passed at once", "one process run"])
async def test_an_automatic_pass_is_the_doing_of_who_made_the_events_eligible(
    connector: ConnectorDriver, ids: list[str]
) -> None:
    await connector.release(
        *(released(event(each, auto_pass_to_accounting=True, account_id=None)) for each in ids)
    )
    await connector.settle()
    assert await connector.facts() == []
    filled = [
        {"billing_event": event(each, auto_pass_to_accounting=True), "starter": REVIEWER} for each in ids
    ]
    await connector.release(*(message_record(CHANGED, body, ce_causationid="fill-1") for body in filled))
    await connector.settle()
    told = await connector.facts()
    assert words(told) == ["process-run.started", *["validated"] * len(ids), "process-run.completed"]
    assert [fact["starter"] for fact in told] == [REVIEWER] * len(told)


async def test_where_the_last_missing_account_arrives_it_is_the_doing_of_who_changed_the_event_last(
    connector: ConnectorDriver,
) -> None:
    await connector.release(released(event(auto_pass_to_accounting=True, account_id=None)))
    body = {"billing_event": event(auto_pass_to_accounting=True, account_id="A-2"), "starter": REVIEWER}
    await connector.release(message_record(CHANGED, body))
    await connector.reference(account("A-2"))
    await connector.settle()
    told = await connector.facts("validated", "process-run.completed")
    assert [fact["starter"] for fact in told] == [REVIEWER, REVIEWER]


async def test_the_companys_own_field_passes_in_place_of_the_flag_also_when_it_is_set_late(
    connector: ConnectorDriver, client: httpx.AsyncClient
) -> None:
    settings = {"auto_pass_field": "fields.pass_on", "tax_rules": [ZERO_RATED]}
    assert (await client.put("/companies/C-UK/settings", json=settings)).status_code == 200
    (told,) = await connector.facts()
    assert told.type == "accounting.company.settings-changed.v1"
    assert (told["company_id"], told["version"], told["auto_pass_field"]) == ("C-UK", 1, "pass_on")
    await connector.release(released(event(auto_pass_to_accounting=True)))
    await connector.settle()
    assert await connector.facts("validated") == []
    body = {"billing_event": event(fields={"pass_on": True}), "starter": REVIEWER}
    await connector.release(message_record(CHANGED, body))
    await connector.settle()
    assert [fact["starter"] for fact in await connector.facts("validated")] == [REVIEWER]
