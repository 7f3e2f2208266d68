from collections.abc import AsyncIterator

import httpx
import pytest

from shared.http.application import Application
from unit.shared.http.sample import (
    Issuer,
    client_of,
    failing_router,
    sample_application,
    sample_router,
    unreached_database,
)


@pytest.fixture
def issuer() -> Issuer:
    issuer = Issuer()
    issuer.add_key("one")
    return issuer


@pytest.fixture
def application(issuer: Issuer) -> Application:
    database = unreached_database()
    return sample_application(issuer, database=database, routers=[sample_router(database), failing_router()])


@pytest.fixture
async def client(application: Application, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(application, issuer.token()) as client:
        yield client
