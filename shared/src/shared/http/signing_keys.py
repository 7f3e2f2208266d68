"""The public keys that tokens are checked with: an issuer's JSON Web Key Set, fetched, cached and kept."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import httpx
import jwt
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from shared.trouble import Trouble

DOCUMENT_BYTES_MAX: Final = 1024 * 1024
FETCH_TIMEOUT_SECONDS: Final = 5.0
REFRESH_INTERVAL_SECONDS: Final = 30.0
"""Least time between two attempts while keys are known; tokens with made-up key ids must not burden the issuer."""

FIRST_FETCH_INTERVAL_SECONDS: Final = 1.0
"""Least time between two attempts while no key is known."""

KEYS_AGE_SECONDS_MAX: Final = 3600.0
"""Keys older than this are fetched again, so that one the issuer has withdrawn goes away here too."""

RSA_BITS_MIN: Final = 2048
_PUBLIC_MEMBERS: Final = frozenset({"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"})
_RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVE_ALGORITHMS: Final = {
    "P-256": "ES256",
    "P-384": "ES384",
    "P-521": "ES512",
    "Ed25519": "EdDSA",
    "Ed448": "EdDSA",
}

Fetch = Callable[[str], Awaitable[bytes]]

log = structlog.get_logger(__name__)


class KeysUnavailableError(RuntimeError):
    """No keys are known and the issuer cannot be asked."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key with the only algorithms it may be used with."""

    key_id: str | None
    public_key: Any
    algorithms: frozenset[str]


class SigningKeys:
    """The keys of one issuer.

    `jwks_url` is where they are (`https`, `http` or `file`); without one they are found through the issuer's
    `.well-known/openid-configuration`.
    """

    def __init__(
        self,
        issuer: str,
        jwks_url: str | None,
        *,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._fetch = fetch or fetch_document
        self._clock = clock
        self._lock = asyncio.Lock()
        self._trouble = Trouble()
        self._keys: tuple[SigningKey, ...] = ()
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")

    async def find(self, key_id: str | None) -> SigningKey | None:
        """The key with this id, asking the issuer again if it is new; None if there is none.

        A token without a key id can only mean the one key of an issuer that has a single one.
        Raises KeysUnavailableError.
        """
        if self._clock() - self._fetched_at > KEYS_AGE_SECONDS_MAX:
            await self._refresh()
        key = self._known(key_id)
        if key is None:
            await self._refresh()
            key = self._known(key_id)
        if key is None:
            await self.check()
        return key

    async def check(self) -> None:
        """Raises KeysUnavailableError while no key is known, after asking the issuer once more."""
        if not self._keys:
            await self._refresh()
        if not self._keys:
            raise KeysUnavailableError("the issuer's keys could not be fetched yet")

    def _known(self, key_id: str | None) -> SigningKey | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == key_id), None)

    async def _refresh(self) -> None:
        async with self._lock:
            interval_seconds = REFRESH_INTERVAL_SECONDS if self._keys else FIRST_FETCH_INTERVAL_SECONDS
            if self._clock() - self._tried_at < interval_seconds:
                return
            self._tried_at = self._clock()
            try:
                keys = parse_keys(await self._fetch(await self._find_jwks_url()))
            except (httpx.HTTPError, OSError, ValueError) as error:
                if self._trouble.begins(type(error).__name__):
                    log.warning("signing keys could not be fetched", error_type=type(error).__name__)
                return
            if keys:
                self._keys, self._fetched_at = keys, self._clock()
                if self._trouble.ends():
                    log.info("signing keys are fetched again")
            elif self._trouble.begins("no key"):
                log.warning("the issuer's key set has no key that can be used")

    async def _find_jwks_url(self) -> str:
        if self._jwks_url is not None:
            return self._jwks_url
        address = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        configuration = orjson.loads(await self._fetch(address))
        if not isinstance(configuration, dict) or configuration.get("issuer") != self._issuer:
            raise ValueError("the configuration found is that of another issuer")
        url = configuration.get("jwks_uri")
        # What was fetched may point to other servers, but never to this machine's files.
        if not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https"}:
            raise ValueError("the configuration names no address of the keys")
        return url


def parse_keys(document: bytes) -> tuple[SigningKey, ...]:
    """The usable public keys of a JSON Web Key Set; others in it are passed over. Raises ValueError."""
    parsed = orjson.loads(document)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise ValueError("not a JSON Web Key Set")
    keys = (_parse_key(entry) for entry in parsed["keys"] if isinstance(entry, dict))
    return tuple(key for key in keys if key is not None)


def _parse_key(entry: Mapping[str, Any]) -> SigningKey | None:
    if entry.get("kty") == "RSA":
        algorithms = _RSA_ALGORITHMS
    elif entry.get("kty") in {"EC", "OKP"} and entry.get("crv") in _CURVE_ALGORITHMS:
        algorithms = frozenset({_CURVE_ALGORITHMS[entry["crv"]]})
    else:  # a symmetric key among them: whoever can read the set could sign with it
        return None
    if (algorithm := entry.get("alg")) is not None:
        algorithms &= {algorithm} if isinstance(algorithm, str) else set()
    key_id = entry.get("kid")
    if not algorithms or entry.get("use", "sig") != "sig" or not isinstance(key_id, str | None):
        return None
    public = {name: value for name, value in entry.items() if name in _PUBLIC_MEMBERS}
    try:
        public_key = jwt.PyJWK(public, algorithm=min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(public_key, RSAPublicKey) and public_key.key_size < RSA_BITS_MIN:
        return None
    return SigningKey(key_id, public_key, algorithms)


async def fetch_document(url: str) -> bytes:
    """What is at an `https`, `http` or `file` address. Raises OSError, ValueError or httpx.HTTPError."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return await asyncio.to_thread(_read_file, Path(unquote(parts.path)))
    document = bytearray()
    async with (
        httpx.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as response,
    ):
        response.raise_for_status()
        async for chunk in response.aiter_bytes():
            document += chunk
            if len(document) > DOCUMENT_BYTES_MAX:
                raise ValueError("the document is too large")
    return bytes(document)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(DOCUMENT_BYTES_MAX)
