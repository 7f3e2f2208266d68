"""A database of the accounting connector, and one replica of it."""

import datetime
from collections.abc import AsyncIterator, Iterator
from typing import Final

import asyncpg
import httpx
import pytest

from accounting_connector.handlers.deployment import Deployment
from integration.accounting_connector.driver import ConnectorDriver, account, company
from integration.accounting_connector.http import client_for, parts_for
from shared.database.database import Database
from support.databases import Databases, FreshDatabase
from unit.shared.http.sample import Issuer

TODAY: Final = datetime.date(2026, 11, 26)

_EMPTY = """
do $$
declare name text;
begin
  for name in
    select format('%I.%I', schemaname, tablename) from pg_tables
    where schemaname = 'accounting_connector' and tablename <> 'schema_migrations'
    order by tablename = 'companies'
  loop
    execute 'delete from ' || name;
  end loop;
end $$
"""


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    """The business's day is the same whenever the tests run: numbers name its year."""
    monkeypatch.setattr(Deployment, "today", lambda _: TODAY)


@pytest.fixture(scope="session")
def connector_database(databases: Databases) -> Iterator[FreshDatabase]:
    """One database for all tests of the folder, which is quicker than one for each."""
    made = databases.fresh("accounting-connector")
    yield made
    databases.drop(made)


@pytest.fixture(scope="session")
async def opened_administrator(
    connector_database: FreshDatabase,
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection that may do everything."""
    connection = await asyncpg.connect(connector_database.administrator_url)
    await connection.execute("set search_path to accounting_connector")
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def opened_store(connector_database: FreshDatabase) -> AsyncIterator[Database]:
    """The service's pool."""
    store = Database(
        connector_database.url,
        schema=connector_database.schema,
        application_name="tests",
        connections_max=24,
    )
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def administrator(
    opened_administrator: "asyncpg.Connection[asyncpg.Record]",
) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection that may do everything, on empty tables."""
    await opened_administrator.execute(_EMPTY)
    return opened_administrator


@pytest.fixture
def store(opened_store: Database, administrator: "asyncpg.Connection[asyncpg.Record]") -> Database:
    """The service's pool on empty tables."""
    del administrator
    return opened_store


@pytest.fixture
async def connector(store: Database) -> ConnectorDriver:
    """One replica with the default settings, which knows the account A-1 and the company C-UK."""
    driver = ConnectorDriver(store)
    await driver.reference(account(), company())
    return driver


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """Who signs the tokens."""
    issuer = Issuer()
    issuer.add_key("one")
    return issuer


@pytest.fixture
async def client(connector: ConnectorDriver, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    """A client with all scopes of the service, on the same database."""
    async with client_for(connector.database, issuer, connector.settings) as client:
        yield client
    for stop in parts_for(connector.database, connector.settings).on_stop:
        await stop()
