"""What HTTP needs of the database, it has: connections that nobody else takes, and an answer when there is none."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import asyncpg
import pytest

from shared.database import pulse
from shared.database.database import Database, reserved_connections
from shared.database.migrations import needed_migrations
from support.databases import FreshDatabase


@pytest.fixture
def service() -> str:
    return "release"


async def test_lines_and_workers_cannot_take_the_connections_of_http(database: FreshDatabase) -> None:
    store = Database(database.url, schema=database.schema, application_name="tests", connections_max=2)
    await store.open()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        for _ in range(2):
            await stack.enter_async_context(store.transaction())
        async with asyncio.timeout(60):
            await store.check()
            with reserved_connections():
                async with store.transaction() as work:
                    assert await work.connection.fetchval("select 1") == 1


async def test_a_database_that_freezes_is_told_in_time_and_found_again(
    database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Database(database.url, schema=database.schema, application_name="frozen")
    with pytest.raises(ConnectionError):
        await store.check()
    await store.open()
    await store.check()
    asked = await store.pool.fetchval(
        "select pid from pg_stat_activity where application_name = 'frozen' and pid <> pg_backend_pid()"
    )
    monkeypatch.setattr(pulse, "ANSWER_SECONDS_MAX", 0.1)
    os.kill(asked, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            await store.check()
    finally:
        os.kill(asked, signal.SIGCONT)
    monkeypatch.undo()
    await store.check()
    await store.close()


async def test_a_schema_older_than_the_program_is_told_and_a_newer_one_is_not(
    database: FreshDatabase,
) -> None:
    needed = needed_migrations(database.schema)
    store = Database(
        database.url,
        schema=database.schema,
        application_name="tests",
        migrations=[*needed, "release/9999_later"],
    )
    current = Database(database.url, schema=database.schema, application_name="tests", migrations=needed[:-1])
    administrator = await asyncpg.connect(database.administrator_url)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(administrator.close)
        for each in (store, current):
            await each.open()
            stack.push_async_callback(each.close)
        await store.check()
        with pytest.raises(
            RuntimeError, match="1 migrations are missing, the first one is release/9999_later"
        ):
            await store.check_schema()
        await current.check_schema()
        table = f"{database.schema}.schema_migrations"
        await administrator.execute(
            f"insert into {table} (version, checksum) values ('release/9999_later', '')"
        )
        await store.check_schema()
        await administrator.execute(f"revoke select on {table} from sluice_release")
        await current.check()
        with pytest.raises(RuntimeError, match="migrations are missing"):
            await current.check_schema()
