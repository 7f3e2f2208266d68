"""Everything that a request can raise, answered as a problem."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shared.database.faults import is_transient
from shared.database.unit_of_work import MessageTooLargeError
from shared.http.problems import (
    ERRORS_MAX,
    FieldError,
    Problem,
    internal_error,
    invalid_json,
    problem_response,
    too_large,
    unavailable,
    validation_failed,
)
from shared.http.routes import routes_of

FIELD_LENGTH_MAX: Final = 200

_CODES: Final = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
}


def handle_problems(application: FastAPI) -> None:
    """Answer everything that a request can raise as a problem."""
    application.add_exception_handler(Problem, _answer_problem)
    application.add_exception_handler(RequestValidationError, _answer_invalid_request)
    application.add_exception_handler(HTTPException, _answer_http_exception)
    application.add_exception_handler(Exception, _answer_failure)


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error, request)


async def _answer_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return problem_response(invalid_json(), request)
    errors = [FieldError(_field_path(item["loc"]), str(item["msg"])) for item in found[:ERRORS_MAX]]
    return problem_response(validation_failed(errors), request)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:  # the body could not be decoded
        return problem_response(invalid_json(), request)
    problem = problem_of_status(error.status_code)
    problem.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        problem.headers["Allow"] = ", ".join(sorted(_methods_of(request)))
    return problem_response(problem, request)


def _methods_of(request: Request) -> set[str]:
    """The methods of the request's path; Starlette names those of the first route, RFC 9110 asks for all of them.

    A path that stands in the route table as it is, such as /release-jobs/validate, is not also one with a parameter.
    """
    path = request.scope["path"]
    routes = routes_of(request.app)
    return {route.method for route in routes if route.path == path} or {
        route.method for route in routes if route.matches(path)
    }


async def _answer_failure(request: Request, error: Exception) -> Response:
    if isinstance(error, MessageTooLargeError):
        return problem_response(too_large(), request)
    return problem_response(unavailable() if is_transient(error) else internal_error(), request)


def problem_of_status(status_code: int) -> Problem:
    """The problem that says no more than an HTTP status does."""
    status = HTTPStatus(status_code)
    return Problem(status_code, _CODES.get(status, status.name.lower()), status.phrase)


def _field_path(location: Sequence[str | int]) -> str:
    """`("body", "items", 0, "amount")` as `items[0].amount`; the body itself is `body`."""
    path = ""
    for part in location[1:]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return (path or str(location[0]))[:FIELD_LENGTH_MAX]
