"""A database of the release service, and one replica of it."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from integration.release.driver import ReleaseDriver
from shared.database.database import Database
from support.databases import Databases, FreshDatabase

_EMPTY = """
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
    await administrator.execute(_EMPTY)
    await administrator.close()
    store = Database(release_database.url, schema=release_database.schema, application_name="tests")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def release(store: Database) -> ReleaseDriver:
    """One replica with the default settings."""
    return ReleaseDriver(store)


@pytest.fixture(scope="module")
async def module_store(databases: Databases) -> AsyncIterator[tuple[Database, str]]:
    """A pool for the tests of one module, and the address of an administrator of its database."""
    made = databases.fresh("release")
    store = Database(made.url, schema=made.schema, application_name="tests")
    await store.open()
    yield store, made.administrator_url
    await store.close()
    databases.drop(made)


@pytest.fixture
async def emptied_store(module_store: tuple[Database, str]) -> Database:
    """The module's pool on emptied tables: for many small cases, since a fresh database takes a while."""
    store, administrator_url = module_store
    tables = await store.pool.fetchval(
        "select string_agg(format('%I.%I', schemaname, tablename), ', ') from pg_tables"
        " where schemaname = current_schema() and tablename <> 'schema_migrations'"
    )
    administrator = await asyncpg.connect(administrator_url)
    try:
        await administrator.execute(f"truncate {tables} restart identity")
    finally:
        await administrator.close()
    return store
