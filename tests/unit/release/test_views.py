"""What is read of other services' facts is a part of what the contract says of them."""

from typing import Any

import pytest
from pydantic import ValidationError

from contract.samples import SAMPLES
from release.views import WrittenBack, model_of
from shared.contracts.catalogue import CATALOGUE
from shared.contracts.document import Document

VALIDATED = "accounting.document.validated.v1"


def validated() -> dict[str, Any]:
    return SAMPLES[VALIDATED] | {"number": "INV-1", "date": "2026-11-20"}


def test_a_document_is_read_in_part_and_says_what_the_whole_says() -> None:
    body = validated()
    assert model_of(CATALOGUE[VALIDATED], body) is WrittenBack
    part, whole = WrittenBack.model_validate(body), Document.model_validate(body)
    assert part.model_dump().items() <= whole.model_dump().items()


@pytest.mark.parametrize("name", ["number", "date", "document_id", "billing_event_ids"])
def test_what_is_written_back_must_be_there(name: str) -> None:
    body = validated()
    del body[name]
    with pytest.raises(ValidationError, match=name):
        WrittenBack.model_validate(body)


def test_other_facts_are_read_whole() -> None:
    entry = CATALOGUE["accounting.billing-event.withdrawn.v1"]
    assert model_of(entry, SAMPLES[entry.type]) is entry.body_model
