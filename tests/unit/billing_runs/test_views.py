"""What is read of other services' facts is a part of what the contract says of them."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from billing_runs.views import (
    DRAFTED,
    ENDS,
    EVENT_TYPES,
    BillingEventSeen,
    DocumentEnd,
    DocumentOfNoRun,
    SeenBillingEvent,
    SeenItem,
    model_of,
)
from contract.samples import SAMPLES
from shared.contracts.billing_event import BillingEvent, BillingEventItem
from shared.contracts.catalogue import CATALOGUE
from shared.contracts.document import Document, DocumentHead
from shared.contracts.release_facts import BillingEventReleased


@pytest.mark.parametrize(
    ("part", "whole"),
    [
        (SeenItem, BillingEventItem),
        (SeenBillingEvent, BillingEvent),
        (BillingEventSeen, BillingEventReleased),
        (DocumentOfNoRun, Document),
        (DocumentEnd, Document),
        (DocumentHead, Document),
    ],
)
def test_a_part_has_fields_of_the_whole_that_are_needed_alike(
    part: type[BaseModel], whole: type[BaseModel]
) -> None:
    assert part.model_fields.keys() < whole.model_fields.keys()
    for name, field in part.model_fields.items():
        assert field.is_required() == whole.model_fields[name].is_required(), name


@pytest.mark.parametrize("message_type", sorted(EVENT_TYPES))
def test_the_part_of_an_event_says_what_the_whole_says(message_type: str) -> None:
    entry, body = CATALOGUE[message_type], SAMPLES[message_type]
    model = model_of(entry, body)
    assert model is BillingEventSeen
    part, whole = model.model_validate(body), entry.body_model.model_validate(body)
    assert part.model_dump()["billing_event"].items() <= _reduced(whole.model_dump()["billing_event"]).items()


def _reduced(event: dict[str, Any]) -> dict[str, Any]:
    items = [{name: item[name] for name in SeenItem.model_fields} for item in event["items"]]
    return event | {"items": items}


@pytest.mark.parametrize("message_type", sorted({DRAFTED, *ENDS}))
def test_of_a_document_is_read_what_its_run_needs(message_type: str) -> None:
    entry, body = CATALOGUE[message_type], SAMPLES[message_type]
    needed = DocumentHead if message_type == DRAFTED else DocumentEnd
    assert model_of(entry, body | {"billing_run_id": "BR-1"}) is needed
    assert model_of(entry, body | {"billing_run_id": None}) is DocumentOfNoRun


def test_an_amount_with_too_many_digits_is_bad_input_in_a_part_too() -> None:
    body = SAMPLES["release.billing-event.registered.v1"]
    event = body["billing_event"]
    broken = {"billing_event": event | {"items": [event["items"][0] | {"amount": "1.001"}]}}
    with pytest.raises(ValidationError, match="decimals"):
        BillingEventSeen.model_validate(broken)
