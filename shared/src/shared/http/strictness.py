"""What no request may hold, whatever its route: unknown query parameters, NUL characters, bottomless JSON.

PostgreSQL cannot store NUL, UTF-8 cannot carry lone surrogates, JSON knows no NaN, and a misspelt filter that is
ignored answers another question than the one asked. All are refused with 422 before a handler sees them.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import orjson
from fastapi import FastAPI, Request

from shared.http.problems import FieldError, invalid_json, validation_failed
from shared.http.routes import routes_of

DEPTH_MAX: Final = 32
IDEMPOTENCY_KEY_LENGTH_MAX: Final = 255
CHANGING_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NUL: Final = "\x00"
_NUL_ESCAPED: Final = b"\\u0000"

IDEMPOTENCY_KEY_PARAMETER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "With the same key the same call has one effect and one answer, for 24 hours.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": IDEMPOTENCY_KEY_LENGTH_MAX,
        "pattern": "^[ -~]+$",
    },
}


class StrictRequests:
    """Dependency of a whole application that refuses such requests. What a route knows, its OpenAPI document says."""

    def __init__(self) -> None:
        self._known: dict[Callable[..., Any], frozenset[str]] | None = None

    async def __call__(self, request: Request) -> None:
        """Check a request. Raises Problem 422 `validation_failed`."""
        errors = [*self._query_errors(request), *_header_errors(request)]
        if any(_NUL in str(value) for value in request.path_params.values()):
            errors.append(FieldError("path", "should not hold a NUL character"))
        if errors:
            raise validation_failed(errors)
        await _check_body(request)

    def _query_errors(self, request: Request) -> Iterator[FieldError]:
        if self._known is None:
            self._known = _known_parameters(request.app)
        known = self._known.get(request.scope["endpoint"])
        for name, value in request.query_params.multi_items():
            if known is not None and name not in known:
                yield FieldError(name.replace(_NUL, "")[:100], "is not a query parameter of this call")
            elif _NUL in value:
                yield FieldError(name, "should not hold a NUL character")


def idempotency_key_of(request: Request) -> str | None:
    """The request's Idempotency-Key, which has been checked."""
    return request.headers.get("idempotency-key")


def _known_parameters(application: FastAPI) -> dict[Callable[..., Any], frozenset[str]]:
    paths = application.openapi().get("paths", {})
    known = {}
    for route in routes_of(application):
        operation = paths.get(route.path, {}).get(route.method.lower())
        if operation is not None:
            parameters = operation.get("parameters", ())
            known[route.endpoint] = frozenset(item["name"] for item in parameters if item["in"] == "query")
    return known


def _header_errors(request: Request) -> Iterator[FieldError]:
    if request.method not in CHANGING_METHODS:
        return
    keys = request.headers.getlist("idempotency-key")
    if keys and not (len(keys) == 1 and _is_key(keys[0])):
        yield FieldError("Idempotency-Key", "should be given once, as 1 to 255 printable ASCII characters")


def _is_key(key: str) -> bool:
    return 0 < len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX and key.isascii() and key.isprintable()


async def _check_body(request: Request) -> None:
    if "json" not in request.headers.get("content-type", ""):
        return
    body = await request.body()
    if not body:
        return
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise invalid_json() from None
    if _NUL_ESCAPED in body or body.count(b"[") + body.count(b"{") > DEPTH_MAX:
        _check_document(document)


def _check_document(document: object) -> None:
    """Walk a JSON document without recursion, since its depth is what is in question."""
    waiting = [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEPTH_MAX:
            raise validation_failed([FieldError("body", f"should not be nested more than {DEPTH_MAX} deep")])
        if isinstance(value, str):
            if _NUL in value:
                raise validation_failed([FieldError("body", "should not hold a NUL character")])
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]
        elif isinstance(value, dict):
            inner = cast("dict[str, object]", value)
            waiting += [(item, depth + 1) for pair in inner.items() for item in pair]
