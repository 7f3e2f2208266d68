"""A database of the billing-runs service, one replica of it, and its calls."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from billing_runs.main import compose
from billing_runs.settings import BillingRunsSettings
from integration.billing_runs.driver import Connector, Runs
from shared.database.database import Database
from shared.http.application import Application
from shared.http.routes import routes_without_scope
from shared.http.server import serve
from shared.workers import Worker
from support.databases import Databases, FreshDatabase
from support.waiting import wait_until
from unit.shared.http.sample import Issuer, client_of, free_port, sample_application

EMPTY = """
do $$
declare names text;
begin
  select string_agg(format('%I.%I', schemaname, tablename), ', ') into names
  from pg_tables where schemaname = 'billing_runs' and tablename <> 'schema_migrations';
  execute 'truncate ' || names || ' restart identity';
end $$
"""
SCOPES = "billing-runs:read billing-runs:write billing-runs:approve settings:write"
HOST = "127.0.0.1"
SETTINGS = BillingRunsSettings(
    kafka_bootstrap_servers="none:1",
    database_url=SecretStr("postgresql://none"),
    http_port=0,
    oidc_issuer="http://none",
)


@pytest.fixture(scope="session")
def billing_runs_database(databases: Databases) -> Iterator[FreshDatabase]:
    """One database for all tests of the folder, which is quicker than one for each."""
    made = databases.fresh("billing-runs")
    yield made
    databases.drop(made)


@pytest.fixture
async def store(billing_runs_database: FreshDatabase) -> AsyncIterator[Database]:
    """The service's pool on empty tables."""
    administrator = await asyncpg.connect(billing_runs_database.administrator_url)
    await administrator.execute(EMPTY)
    await administrator.close()
    store = Database(billing_runs_database.url, schema=billing_runs_database.schema, application_name="tests")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def connector() -> Connector:
    """Somebody who plays the accounting connector."""
    return Connector()


@pytest.fixture
def runs(store: Database, connector: Connector) -> Runs:
    """One replica of the service."""
    return Runs(store, connector)


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """Who signs the tokens."""
    issuer = Issuer()
    issuer.add_key("one")
    return issuer


@pytest.fixture
async def client(runs: Runs, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    """The service's calls, by somebody who may everything here."""
    parts = compose(SETTINGS)(runs.database)
    application = sample_application(issuer, database=runs.database, routers=list(parts.routers))
    assert routes_without_scope(application) == []
    async with client_of(application, issuer.token(SCOPES)) as client:
        yield client


@dataclass
class Callers:
    """Calls in the name of others: one replica, with or without four eyes."""

    issuer: Issuer
    application: Application

    def client(self, scopes: str = SCOPES, **claims: Any) -> httpx.AsyncClient:
        """A client of user `u1`, if `sub` names none."""
        return client_of(self.application, self.issuer.token(scopes, **claims))

    async def answer(
        self, method: str, path: str, body: Any = None, *, scopes: str = SCOPES, **claims: Any
    ) -> tuple[int, str | None]:
        """Status and code of the answer."""
        async with self.client(scopes, **claims) as client:
            answer = await client.request(method, path, json=body)
            return answer.status_code, answer.json().get("code")


@pytest.fixture
def callers(runs: Runs, issuer: Issuer) -> Callable[[bool], Callers]:
    """Callers of a replica that asks for a second person, or does not."""

    def make(four_eyes: bool) -> Callers:
        parts = compose(SETTINGS.model_copy(update={"four_eyes": four_eyes}))(runs.database)
        return Callers(
            issuer, sample_application(issuer, database=runs.database, routers=list(parts.routers))
        )

    return make


@pytest.fixture
async def url(runs: Runs, issuer: Issuer) -> AsyncIterator[str]:
    """One replica's API, served, with the worker that looks for progress."""
    parts, port, stopping = compose(SETTINGS)(runs.database), free_port(), asyncio.Event()
    application = sample_application(issuer, database=runs.database, routers=list(parts.routers))
    worker = next(each for each in parts.workers if each.name == "progress feed")
    serving = asyncio.create_task(serve(application, HOST, port, stopping))
    looking = asyncio.create_task(Worker(worker.name, worker.step, idle_seconds=0.02).run())

    async def answers() -> bool:
        try:
            async with httpx.AsyncClient(timeout=60) as client:
                return (await client.get(f"http://{HOST}:{port}/health/live")).status_code == 200
        except httpx.TransportError:
            return False

    await wait_until(answers, what="the API")
    yield f"http://{HOST}:{port}"
    stopping.set()
    for stop in parts.on_stop:
        await stop()
    looking.cancel()
    await asyncio.wait_for(serving, 60)
