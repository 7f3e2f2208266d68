"""Who may call what: no request without a valid token, no route without the scope it names (contract.md section 2)."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.http.problems import Problem, problem_response, unavailable
from shared.http.signing_keys import KeysUnavailableError
from shared.http.tokens import InvalidTokenError, Principal, TokenVerifier

OPEN_PATHS: Final = frozenset({"/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"})
"""What is answered without a token."""

DOCS_ASSETS_PATH: Final = "/docs/assets"
"""Script and style of /docs, open like the page itself."""

_REALM: Final = 'Bearer realm="sluice"'

_BEARER: Final = HTTPBearer(
    scheme_name="bearer",
    bearerFormat="JWT",
    auto_error=False,
    description="A token of the OpenID Connect issuer; each call names the scope it needs.",
)


class Authentication:
    """Middleware that lets only requests with a valid token pass, whatever their path, but for the open ones.

    It stands before routing and before the body is read, so a route that forgets to ask for a scope is still closed.
    """

    def __init__(self, app: ASGIApp, verifier: TokenVerifier) -> None:
        self.app = app
        self._verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        path = scope.get("path", "")
        if scope["type"] == "http" and path not in OPEN_PATHS and not path.startswith(f"{DOCS_ASSETS_PATH}/"):
            connection = HTTPConnection(scope)
            try:
                connection.state.principal = await self._authenticate(connection)
            except Problem as problem:
                await problem_response(problem, connection)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _authenticate(self, connection: HTTPConnection) -> Principal:
        given = connection.headers.getlist("authorization")
        if not given:
            raise _unauthenticated("token_missing", "A bearer token is needed", _REALM)
        scheme, _, token = given[0].partition(" ")
        try:
            if len(given) > 1 or scheme.lower() != "bearer":
                raise InvalidTokenError
            return await self._verifier.verify(token.strip())
        except InvalidTokenError as error:
            code, title = ("token_invalid", "The bearer token is not valid")
            if error.is_expired:
                code, title = ("token_expired", "The bearer token has expired")
            challenge = f'{_REALM}, error="invalid_token", error_description="{title}"'
            raise _unauthenticated(code, title, challenge) from None
        except KeysUnavailableError:
            raise unavailable() from None


@dataclass(frozen=True, slots=True)
class RequireScope:
    """Dependency that gives the principal, and refuses one without `scope`; any principal will do if it is None."""

    scope: str | None

    async def __call__(
        self,
        request: Request,
        _credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    ) -> Principal:
        """The principal of the request. Raises Problem 403 `scope_missing`."""
        principal: Principal = request.state.principal
        if self.scope is not None:
            check_scope(principal, self.scope)
        return principal


def check_scope(principal: Principal, scope: str) -> None:
    """Raise Problem 403 `scope_missing` where the token lacks `scope`: for what only some requests of a route need."""
    if scope not in principal.scopes:
        raise Problem(
            403,
            "scope_missing",
            "The token does not permit this",
            detail=f"The scope {scope} is needed.",
            headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{scope}"'},
        )


def require(scope: str) -> Any:
    """Dependency of a route that needs `scope`: `principal: Annotated[Principal, require("documents:read")]`."""
    return Security(RequireScope(scope), scopes=[scope])


def require_token() -> Any:
    """Dependency of a route that any principal may call, for what is their own."""
    return Security(RequireScope(None))


def _unauthenticated(code: str, title: str, challenge: str) -> Problem:
    return Problem(401, code, title, headers={"WWW-Authenticate": challenge})
