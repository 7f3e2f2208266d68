"""Refusals over HTTP: problem details in the form of RFC 9457, with `code` and `errors` (contract.md section 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import orjson
from starlette.requests import HTTPConnection
from starlette.responses import Response

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
ERRORS_MAX: Final = 100
RETRY_AFTER_SECONDS: Final = 5

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Problem details (RFC 9457). `code` is for programs; further members depend on it.",
    "required": ["type", "title", "status", "code", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": ["string", "null"]},
        "instance": {"type": "string", "format": "uri-reference"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
    "additionalProperties": True,
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: its path, such as `items[0].amount`, and a sentence that does not quote it."""

    field: str
    message: str


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """A refusal, raised anywhere in a request and answered as problem details.

    `status` is the HTTP status, `code` the word for programs, `title` the same for every occurrence, `detail` about
    this one, `errors` one per field, `members` what else the answer holds (`reasons`, `preview`), `headers` what its
    head holds.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        *,
        detail: str | None = None,
        errors: Sequence[FieldError] = (),
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.members = dict(members or {})
        self.headers = dict(headers or {})

    def body(self, path: str) -> dict[str, Any]:
        """The members of the answer to a request for `path`."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "instance": quote(path),
            "errors": [
                {"field": error.field, "message": error.message} for error in self.errors[:ERRORS_MAX]
            ],
            **self.members,
        }


def not_found(detail: str | None = None) -> Problem:
    """404: there is no such thing."""
    return Problem(404, "not_found", "Not found", detail=detail)


def validation_failed(errors: Sequence[FieldError]) -> Problem:
    """422: one or more fields are not acceptable."""
    return Problem(422, "validation_failed", "The request is not valid", errors=errors)


def invalid_json() -> Problem:
    """422: the body is not JSON."""
    return validation_failed([FieldError("body", "should be JSON in UTF-8")])


def unavailable() -> Problem:
    """503: something this service needs is away; the same request may succeed later."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return Problem(503, "unavailable", "The service is not available at the moment", headers=headers)


def too_large() -> Problem:
    """409: what would be told of it is more than one message may hold; nothing was done."""
    detail = (
        "What would be told of it is more than one message may hold: it has too many items, or texts too long"
    )
    return Problem(409, "too_large", "The change is too large", detail=detail)


def internal_error() -> Problem:
    """500: a mistake of ours, described in the log only."""
    return Problem(500, "internal_error", "Something went wrong")


def problem_response(problem: Problem, request: HTTPConnection) -> Response:
    """The answer that tells of a problem."""
    return Response(
        orjson.dumps(problem.body(request.scope["path"])),
        status_code=problem.status,
        headers=problem.headers,
        media_type=PROBLEM_MEDIA_TYPE,
    )
