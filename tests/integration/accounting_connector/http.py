"""The connector's whole API on a database, called with tokens of a test's issuer."""

from functools import cache
from typing import Any

import httpx

from accounting_connector.main import compose
from accounting_connector.settings import AccountingConnectorSettings
from shared.database.database import Database
from shared.http.application import Application, create_application
from shared.http.health import HealthRegistry
from shared.http.signing_keys import SigningKeys
from shared.http.tokens import TokenVerifier
from shared.service import Parts
from unit.shared.http.sample import AUDIENCE, ISSUER, Issuer

SCOPES = "documents:read documents:write settings:write"


@cache
def parts_for(database: Database, settings: AccountingConnectorSettings) -> Parts:
    """The parts of the service; made once for the same settings."""
    return compose(settings)(database)


@cache
def application_for(database: Database, issuer: Issuer, settings: AccountingConnectorSettings) -> Application:
    """The application as the service makes it; made once for the same settings."""
    keys = SigningKeys(ISSUER, f"{ISSUER}/jwks", fetch=issuer.fetch)
    return create_application(
        title="Accounting connector",
        version="1.0.0",
        description="",
        routers=parts_for(database, settings).routers,
        database=database,
        verifier=TokenVerifier(ISSUER, AUDIENCE, keys),
        health=HealthRegistry(),
    )


def client_for(
    database: Database,
    issuer: Issuer,
    settings: AccountingConnectorSettings,
    scopes: str = SCOPES,
    **claims: Any,
) -> httpx.AsyncClient:
    """A client with a token of these scopes and claims; whatever escapes from the application fails the test."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(application_for(database, issuer, settings)),
        base_url="http://accounting-connector",
        headers={"Authorization": f"Bearer {issuer.token(scopes, **claims)}"},
    )
