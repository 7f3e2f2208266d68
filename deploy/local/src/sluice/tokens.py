"""Development tokens: a signing key in a system's state, and bearer tokens made with it (contract.md section 2)."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from shared.ids import new_id
from sluice.state import State, write_secret

AUDIENCE: Final = "sluice"
SCOPES: Final = (
    "billing-events:read",
    "billing-events:release",
    "billing-events:revert",
    "documents:read",
    "documents:write",
    "billing-runs:read",
    "billing-runs:write",
    "billing-runs:approve",
    "alerts:read",
    "alerts:write",
    "settings:write",
)
"""Every scope there is (contract.md section 2)."""

OPERATOR: Final = "operator"
"""In whose name commands act if nobody is named; told of what operators are told."""

_ALGORITHM: Final = "RS256"
_KEY_BITS: Final = 2048


def address_of(user: str) -> str:
    """An address for a user who was given none: a starter without one would be told nothing by mail."""
    return user if "@" in user else f"{user}@example.com"


def ensure_key(state: State) -> None:
    """Make the system's signing key and its public key set, the first time."""
    if state.signing_key.exists() and state.key_set.exists():
        return
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    key_id = new_id()
    public: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    public |= {"kid": key_id, "alg": _ALGORITHM, "use": "sig"}
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_secret(state.key_set, json.dumps({"keys": [public]}).encode())
    write_secret(state.signing_key, pem)


def issuer(state: State) -> str:
    """Whose tokens the system takes: a name of its own, so that another system's tokens are refused."""
    return f"http://localhost/sluice/{_key_id(state)}"


def _key_id(state: State) -> str:
    return str(json.loads(state.key_set.read_text("utf-8"))["keys"][0]["kid"])


def make_token(
    state: State,
    *,
    user: str,
    scopes: Sequence[str],
    email: str | None = None,
    projects: Sequence[str] = (),
    expires_after: timedelta = timedelta(hours=8),
) -> str:
    """A signed token (JWT) with the claims iss, aud, sub, scope, iat and exp; email and projects where given.

    `projects` limits to these project ids whose billing events the user may release and change; all may be seen.
    """
    now = datetime.now(UTC)
    claims: dict[str, Any] = {
        "iss": issuer(state),
        "aud": AUDIENCE,
        "sub": user,
        "scope": " ".join(scopes),
        "iat": now,
        "exp": now + expires_after,
    }
    if email is not None:
        claims["email"] = email
    if projects:
        claims["projects"] = list(projects)
    key = state.signing_key.read_text("utf-8")
    return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": _key_id(state)})
