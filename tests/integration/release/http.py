"""The release service's whole API on a database, called with tokens of a test's issuer."""

from importlib.metadata import version
from typing import Any

import httpx

from integration.release.releasing import ReleasingDriver
from release.main import compose
from release.settings import Settings
from shared.database.database import Database
from shared.http.application import Application, create_application
from shared.http.health import HealthRegistry
from shared.http.signing_keys import SigningKeys
from shared.http.tokens import TokenVerifier
from unit.shared.http.sample import AUDIENCE, ISSUER, Issuer

SCOPES = "billing-events:read billing-events:release billing-events:revert documents:write"


def service_settings(**given: Any) -> Settings:
    """Settings of the service as its environment would give them."""
    defaults: dict[str, Any] = {
        "kafka_bootstrap_servers": "127.0.0.1:9",
        "database_url": "postgresql://nobody@127.0.0.1:9/none",
        "oidc_issuer": ISSUER,
        "support_contact": "support@example.com",
    }
    return Settings(**(defaults | given))


class Api:
    """The API with these settings, and a replica that works what it accepts."""

    def __init__(self, database: Database, issuer: Issuer, **settings: Any) -> None:
        self.issuer = issuer
        self.settings = service_settings(**settings)
        self.driver = ReleasingDriver(database, self.settings.release)
        keys = SigningKeys(ISSUER, f"{ISSUER}/jwks", fetch=self.issuer.fetch)
        self.application: Application = create_application(
            title="Release",
            version=version("sluice-release"),
            description="",
            routers=compose(self.settings)(database).routers,
            database=database,
            verifier=TokenVerifier(ISSUER, AUDIENCE, keys),
            health=HealthRegistry(),
        )

    def client(self, scopes: str = SCOPES, **claims: Any) -> httpx.AsyncClient:
        """A client with a token of these scopes and claims."""
        token = self.issuer.token(scopes, **claims)
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.application),
            base_url="http://release",
            headers={"Authorization": f"Bearer {token}"},
        )
