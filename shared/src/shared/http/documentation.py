"""The OpenAPI document that the code makes, completed, and /docs, which works without the internet."""

from importlib.resources import files
from typing import Any, Final

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.requests import Request
from starlette.responses import Response

from shared.http.authorization import DOCS_ASSETS_PATH
from shared.http.problems import PROBLEM_MEDIA_TYPE, PROBLEM_SCHEMA
from shared.http.strictness import CHANGING_METHODS, IDEMPOTENCY_KEY_PARAMETER

_PROBLEM_CONTENT: Final = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}

INVALID_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    422: {"description": "Not valid", "content": _PROBLEM_CONTENT}
}
"""Given to the application itself: it takes the place of the framework's own form of validation errors."""

_ALWAYS: Final = {"500": "A mistake of ours", "503": "Something the service needs is away"}
_WITH_TOKEN: Final = {
    "401": "No valid token",
    "403": "The token lacks the scope",
    "404": "There is no such thing",
    "422": "Not valid",
}
_CHANGING: Final = {"409": "Not possible as things stand", "413": "The body is too large"}


def complete_document(document: dict[str, Any]) -> None:
    """Add to an OpenAPI document what holds for all calls: their problems and the Idempotency-Key. In place."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = PROBLEM_SCHEMA
    for operations in document.get("paths", {}).values():
        for method, operation in operations.items():
            problems = dict(_ALWAYS)
            if "security" in operation:
                problems |= _WITH_TOKEN
            else:
                operation["responses"].pop("422", None)
            if method.upper() in CHANGING_METHODS:
                problems |= _CHANGING
                operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY_PARAMETER)
            for status, description in problems.items():
                response = {"description": description, "content": _PROBLEM_CONTENT}
                operation["responses"].setdefault(status, response)
            _describe_streams(operation)


def _describe_streams(operation: dict[str, Any]) -> None:
    """Say in words of OpenAPI 3.1 what a stream holds; the framework uses those of 3.2."""
    for response in operation["responses"].values():
        for media_type in response.get("content", {}).values():
            if "itemSchema" in media_type:
                del media_type["itemSchema"]
                # Without a type: readers of the document take it for that of the stream, or of each event.
                media_type["schema"] = {"description": "server-sent events"}


def add_docs_page(application: FastAPI) -> None:
    """Serve /docs with script and style from this machine."""
    assets = files(fastapi_offline) / "static"
    application.mount(DOCS_ASSETS_PATH, StaticFiles(directory=str(assets)))

    async def docs(_request: Request) -> Response:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=application.title,
            swagger_js_url=f"{DOCS_ASSETS_PATH}/swagger-ui-bundle.js",
            swagger_css_url=f"{DOCS_ASSETS_PATH}/swagger-ui.css",
            swagger_favicon_url=f"{DOCS_ASSETS_PATH}/favicon.png",
        )
        page.headers["Content-Security-Policy"] = (
            "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data:; frame-ancestors 'none'"
        )
        return page

    application.add_route("/docs", docs, include_in_schema=False)
