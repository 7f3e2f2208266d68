"""The published OpenAPI documents are what the code serves."""

from pathlib import Path

import openapi_spec_validator
import pytest
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from sluice.compositions import COMPOSITIONS, Composition
from sluice.openapi import openapi_document, rendered_documents
from support.seeding import Seeded


def test_the_committed_documents_are_the_codes(repository: Path) -> None:
    folder = repository / "docs" / "contract" / "openapi"
    committed = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
    assert committed == rendered_documents(), (
        "write them anew: python -m sluice.openapi docs/contract/openapi"
    )


@pytest.mark.parametrize("composition", COMPOSITIONS, ids=lambda composition: composition.name)
def test_the_document_is_openapi_3_1_and_valid(composition: Composition) -> None:
    document = openapi_document(composition)
    assert document["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(document)


def test_the_validator_says_no_to_a_broken_document() -> None:
    document = openapi_document(COMPOSITIONS[0])
    del document["info"]["title"]
    with pytest.raises(OpenAPIValidationError):
        openapi_spec_validator.validate(document)


@pytest.mark.parametrize("composition", COMPOSITIONS, ids=lambda composition: composition.name)
async def test_the_service_serves_the_document(seeded: Seeded, composition: Composition) -> None:
    async with seeded.system.client(composition.name) as client:
        served = (await client.get("/openapi.json")).json()
        page = await client.get("/docs")
    assert served["paths"].keys() == openapi_document(composition)["paths"].keys()
    assert "/openapi.json" in page.text
    assert "://" not in page.text.replace("http://www.w3.org/", ""), "the page works without the internet"
