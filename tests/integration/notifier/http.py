"""The notifier's whole API on a database, called with tokens of a test's issuer."""

from importlib.metadata import version
from typing import Any

import httpx

from integration.notifier.driver import NotifierDriver
from notifier.main import compose
from shared.http.application import Application, create_application
from shared.http.health import HealthRegistry
from shared.http.signing_keys import SigningKeys
from shared.http.tokens import TokenVerifier
from shared.service import Parts
from unit.shared.http.sample import AUDIENCE, ISSUER, Issuer

SCOPES = "alerts:read alerts:write"


class Api:
    """The API of one replica."""

    def __init__(self, notifier: NotifierDriver, issuer: Issuer) -> None:
        self.issuer = issuer
        self.parts: Parts = compose(notifier.settings)(notifier.database)
        keys = SigningKeys(ISSUER, f"{ISSUER}/jwks", fetch=issuer.fetch)
        self.application: Application = create_application(
            title="Notifier",
            version=version("sluice-notifier"),
            description=self.parts.description,
            routers=self.parts.routers,
            database=notifier.database,
            verifier=TokenVerifier(ISSUER, AUDIENCE, keys),
            health=HealthRegistry(),
        )

    def headers(self, scopes: str = SCOPES, **claims: Any) -> dict[str, str]:
        """The head of a request of u1, or of whom the claims name."""
        return {"Authorization": f"Bearer {self.issuer.token(scopes, **claims)}"}

    def client(self, scopes: str = SCOPES, **claims: Any) -> httpx.AsyncClient:
        """A client with a token of these scopes and claims."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.application),
            base_url="http://notifier",
            headers=self.headers(scopes, **claims),
        )
