"""The OpenAPI document says what the code does."""

import re
from typing import Any

import openapi_spec_validator

from shared.http.application import Application
from shared.http.problems import PROBLEM_MEDIA_TYPE
from unit.shared.http.sample import client_of


def test_the_document_is_valid_openapi_3_1(application: Application) -> None:
    document = application.openapi()
    assert document["openapi"].startswith("3.1")
    openapi_spec_validator.validate(document)
    assert application.openapi() == document


def test_every_call_documents_its_problems_its_scope_and_the_idempotency_key(
    application: Application,
) -> None:
    document = application.openapi()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "HTTPValidationError" not in document["components"]["schemas"]
    put = document["paths"]["/notes/{note_id}"]["put"]
    assert put["security"] == [{"bearer": ["notes:write"]}]
    assert {"401", "403", "404", "409", "413", "422", "500", "503"} <= set(put["responses"])
    for status, response in put["responses"].items():
        if status != "200":
            assert response["content"][PROBLEM_MEDIA_TYPE]["schema"] == {
                "$ref": "#/components/schemas/Problem"
            }
    names = {path: {p["name"] for p in call.get("parameters", ())} for path, call in _calls(document).items()}
    assert "Idempotency-Key" in names["post /notes"]
    assert "Idempotency-Key" not in names["get /notes"]


def _calls(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method} {path}": call
        for path, calls in document["paths"].items()
        for method, call in calls.items()
    }


async def test_the_docs_need_nothing_from_elsewhere(application: Application) -> None:
    async with client_of(application) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(addresses) >= 3
        for address in addresses:
            assert address.startswith("/docs/assets/"), address
            asset = await client.get(address)
            assert asset.status_code == 200
            assert asset.content
        assert (await client.get("/docs/assets/%2e%2e/core.py")).status_code == 404
