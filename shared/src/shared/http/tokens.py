"""Bearer tokens: JSON Web Tokens of an OpenID Connect issuer, checked against its keys (contract.md section 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from shared.http.signing_keys import SigningKeys

LEEWAY_SECONDS: Final = 30
TOKEN_LENGTH_MAX: Final = 16 * 1024
USER_ID_LENGTH_MAX: Final = 255
EMAIL_LENGTH_MAX: Final = 320


class InvalidTokenError(Exception):
    """A token that proves nothing. `is_expired` says whether it once did."""

    def __init__(self, *, is_expired: bool = False) -> None:
        super().__init__("expired" if is_expired else "invalid")
        self.is_expired = is_expired


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request: the token's subject, mail address and scopes.

    `projects` is the optional claim of that name: the only projects whose events may be released or changed
    (domain.md section 2, `not_permitted`); None where the token does not restrict them.
    """

    user_id: str
    email: str | None
    scopes: frozenset[str]
    projects: frozenset[str] | None


class TokenVerifier:
    """Checks tokens of one issuer that are meant for one audience."""

    def __init__(self, issuer: str, audience: str, keys: SigningKeys) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys

    async def verify(self, token: str) -> Principal:
        """Who the token stands for. Raises InvalidTokenError or KeysUnavailableError."""
        if len(token) > TOKEN_LENGTH_MAX:
            raise InvalidTokenError
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise InvalidTokenError from None
        key = await self._keys.find(key_id)
        if key is None:
            raise InvalidTokenError
        try:
            claims = jwt.decode(
                token,
                key.public_key,
                algorithms=sorted(key.algorithms),
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise InvalidTokenError(is_expired=True) from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise InvalidTokenError from None
        return _principal(claims)

    async def check_keys(self) -> None:
        """Health check: raises KeysUnavailableError while no token could be checked."""
        await self._keys.check()


def _principal(claims: Mapping[str, Any]) -> Principal:
    scope = claims.get("scope", claims.get("scp", ""))
    scopes = scope.split() if isinstance(scope, str) else scope
    projects = claims.get("projects")
    return Principal(
        user_id=_text(claims["sub"], USER_ID_LENGTH_MAX),
        email=None if claims.get("email") is None else _text(claims["email"], EMAIL_LENGTH_MAX),
        scopes=_texts(scopes),
        projects=None if projects is None else _texts(projects),
    )


def _text(value: object, length_max: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= length_max or not value.isprintable():
        raise InvalidTokenError
    return value


def _texts(values: object) -> frozenset[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidTokenError
    return frozenset(values)
