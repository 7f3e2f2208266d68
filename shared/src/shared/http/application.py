"""The application of a service: its routes with all that every service's API has in common."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from shared.database.database import Database
from shared.http.authorization import OPEN_PATHS, Authentication
from shared.http.documentation import INVALID_RESPONSE, add_docs_page, complete_document
from shared.http.edge import Edge
from shared.http.failures import handle_problems
from shared.http.health import HealthRegistry, health_router
from shared.http.strictness import StrictRequests
from shared.http.tokens import TokenVerifier

BODY_BYTES_MAX: Final = 1024 * 1024
"""Largest body; a route that needs more says so with `max_body_size`."""

LARGE_BODY_BYTES_MAX: Final = 16 * 1024 * 1024
"""For routes that take lists of up to 100,000 ids."""


class Application(FastAPI):
    """A service's application; made by create_application."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document, with the problems and headers that all calls share."""
        document = super().openapi()
        if "Problem" not in document.get("components", {}).get("schemas", {}):
            complete_document(document)
        return document

    def build_middleware_stack(self) -> ASGIApp:
        """The layers of the application, the edge outermost."""
        return Edge(super().build_middleware_stack())


def create_application(
    *,
    title: str,
    version: str,
    description: str,
    routers: Sequence[APIRouter],
    database: Database,
    verifier: TokenVerifier,
    health: HealthRegistry,
) -> Application:
    """The application of a service.

    Every route of `routers` names its scope with `require`. Adds /health/live, /health/ready (with the database, its
    schema and the token keys among the checks), /metrics, /docs and /openapi.json.
    """
    application = Application(
        title=title,
        version=version,
        description=description,
        dependencies=[Depends(StrictRequests())],
        responses=INVALID_RESPONSE,
        middleware=[Middleware(Authentication, verifier=verifier)],
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        max_body_size=BODY_BYTES_MAX,
        telemetry={"logs": False, "operation_spans": False, "auto_configure": False, "exclude": _is_open},
    )
    handle_problems(application)

    health.add("database", database.check, needed=True)
    health.add("schema", database.check_schema, needed=True)
    health.add("token_keys", verifier.check_keys, needed=True)
    application.include_router(health_router(health))
    for router in routers:
        application.include_router(router)
    add_docs_page(application)
    return application


def _is_open(scope: Any) -> bool:
    return scope["path"] in OPEN_PATHS
