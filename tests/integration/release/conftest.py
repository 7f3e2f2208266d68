"""A database of the release service, and one replica of it."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from integration.release.driver import ReleaseDriver
from integration.release.http import Api
from shared.database.database import Database
from support.databases import Databases, FreshDatabase
from unit.shared.http.sample import Issuer

EMPTY_TABLES = """
do $$
declare names text;
begin
  select string_agg(format('%I.%I', schemaname, tablename), ', ') into names
  from pg_tables where schemaname = 'release' and tablename <> 'schema_migrations';
  execute 'truncate ' || names || ' restart identity';
end $$
"""


@pytest.fixture(scope="session")
def release_database(databases: Databases) -> Iterator[FreshDatabase]:
    """One database for all tests of the folder, which is quicker than one for each."""
    made = databases.fresh("release")
    yield made
    databases.drop(made)


@pytest.fixture
async def store(release_database: FreshDatabase) -> AsyncIterator[Database]:
    """The service's pool on empty tables."""
    administrator = await asyncpg.connect(release_database.administrator_url)
    await administrator.execute(EMPTY_TABLES)
    await administrator.close()
    store = Database(release_database.url, schema=release_database.schema, application_name="tests")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def release(store: Database) -> ReleaseDriver:
    """One replica with the default settings."""
    return ReleaseDriver(store)


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    issuer = Issuer()
    issuer.add_key("one")
    return issuer


@pytest.fixture
def api(store: Database, issuer: Issuer) -> Api:
    return Api(store, issuer)
